//! UnixFS: files to DAGs of blocks and back, and what paths lead to
//! (UnixFS specification; CIDs by the profiles of IPIP-499).

mod builder;
mod chunker;
mod data;
mod directory;
mod layout;
mod path;
mod reader;
mod resolve;

pub use builder::{Built, FileBuilder, Leaf};
pub use chunker::Chunker;
pub use data::{Data, Kind};
pub use layout::{Layout, MAX_CHUNK_BYTES, MAX_WIDTH, Profile};
pub use path::{MAX_PATH_BYTES, MAX_PATH_NAMES, Path};
pub(crate) use reader::one;
pub use reader::{BlockSource, FileReader};
pub use resolve::{Place, locate, resolve};
