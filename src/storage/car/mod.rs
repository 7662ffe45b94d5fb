//! Archives into the store, and out of it.

mod import;
mod resume;

pub use self::import::{CarImport, CarImportOptions, CarImporter, CarRoot};
