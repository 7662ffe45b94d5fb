//! UnixFS: files to DAGs of blocks and back, and what paths lead to
//! (UnixFS specification; CIDs by the profiles of IPIP-499).

mod builder;
mod chunker;
mod data;
mod directory;
mod layout;
mod modify;
mod path;
mod reader;

pub use builder::{Built, FileBuilder, Leaf};
pub use chunker::Chunker;
pub use data::{Data, Kind};
pub use directory::resolve;
pub use layout::{Layout, MAX_CHUNK_BYTES, MAX_WIDTH, Profile};
pub use modify::{BlockSink, FileEdit};
pub use path::{MAX_PATH_BYTES, MAX_PATH_NAMES, Path};
pub use reader::{BlockSource, FileReader};
