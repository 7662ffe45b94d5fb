//! UnixFS: files to DAGs of blocks and back, and what paths lead to
//! (UnixFS specification; CIDs by the profiles of IPIP-499).

mod builder;
mod chunker;
mod data;
mod directory;
mod edit;
mod hamt;
mod inspect;
mod layout;
mod listing;
mod modify;
mod path;
mod reader;
mod resolve;
mod sink;

pub use builder::{Built, FileBuilder, Leaf};
pub use chunker::Chunker;
pub use data::{Data, Kind, Metadata, Mtime};
pub use directory::find;
pub use edit::{Changes, Edit, Target};
pub use inspect::{EntryKind, Inspected, inspect, symlink};
pub use layout::{Layout, MAX_CHUNK_BYTES, MAX_WIDTH, Profile, Sharding, SizeRule};
pub use listing::DirectoryReader;
pub use modify::{FileEdit, retouch};
pub use path::{MAX_PATH_BYTES, MAX_PATH_NAMES, Path};
pub(crate) use reader::one;
pub use reader::{BlockSource, FileReader};
pub use resolve::{Place, locate, look_up, resolve};
pub use sink::BlockSink;
