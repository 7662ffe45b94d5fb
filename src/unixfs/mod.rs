//! UnixFS files: bytes to DAGs of blocks and back (UnixFS specification; CIDs by the profiles of IPIP-499).

mod builder;
mod chunker;
mod data;
mod layout;
mod reader;

pub use builder::{Built, FileBuilder, Leaf};
pub use chunker::Chunker;
pub use data::{Data, Kind};
pub use layout::{Layout, MAX_CHUNK_BYTES, MAX_WIDTH, Profile};
pub use reader::{BlockSource, FileReader};
