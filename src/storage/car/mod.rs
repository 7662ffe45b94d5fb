//! Archives into the store, and out of it.

mod export;
mod import;
mod order;
mod resume;

pub use self::{
    export::{CarExportOptions, CarExporter, CarRange, CarScope, CarVersion},
    import::{CarImport, CarImportOptions, CarImporter, CarRoot},
};
