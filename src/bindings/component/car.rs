//! Archives: interface `car` of `wit/`.

use std::cell::RefCell;

use bytes::Bytes;

use super::{
    Component, OpenStore,
    world::exports::ipfs_kit::storage::{
        car::{
            CarExport, CarExportOptions, CarImport, CarImportOptions, CarReport, CarRoot, CarScope, CarVersion, Guest,
            GuestCarExport, GuestCarImport,
        },
        storage::HandleBorrow,
    },
};
use crate::{
    bindings::wit::Error,
    platform::wasi::run,
    storage::{self, CarExporter, CarImporter},
    unixfs::Path,
};

impl Guest for Component {
    type CarImport = OpenImport;
    type CarExport = OpenExport;
}

pub struct OpenImport(RefCell<CarImporter>);

pub struct OpenExport(RefCell<Exporting>);

struct Exporting {
    exporter: CarExporter,
    /// What came at once and the caller has not taken yet.
    rest: Bytes,
}

impl GuestCarImport for OpenImport {
    fn open(store: HandleBorrow<'_>, options: CarImportOptions) -> Result<CarImport, Error> {
        let CarImportOptions { pin, resume } = options;
        let storage = &store.get::<OpenStore>().storage;
        let importer = run(storage.car_importer(storage::CarImportOptions { pin, resume }))?;
        Ok(CarImport::new(OpenImport(RefCell::new(importer))))
    }

    fn position(&self) -> u64 {
        self.0.borrow().position()
    }

    fn write(&self, bytes: Vec<u8>) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().write(bytes.into()))?)
    }

    fn finish(&self) -> Result<CarReport, Error> {
        let storage::CarImport { roots, blocks, bytes } = run(self.0.borrow_mut().finish())?;
        let root =
            |root: storage::CarRoot| CarRoot { cid: root.cid.to_string(), whole: root.whole, pinned: root.pinned };
        Ok(CarReport { roots: roots.into_iter().map(root).collect(), blocks, bytes })
    }

    fn abort(&self) -> Result<(), Error> {
        Ok(run(self.0.borrow_mut().abort())?)
    }
}

impl Drop for OpenImport {
    fn drop(&mut self) {
        let _ = run(async {
            self.0.get_mut().close().await;
            Ok(())
        });
    }
}

impl GuestCarExport for OpenExport {
    fn open(store: HandleBorrow<'_>, paths: Vec<String>, options: CarExportOptions) -> Result<CarExport, Error> {
        let storage = &store.get::<OpenStore>().storage;
        let paths = paths.iter().map(|path| Path::parse(path)).collect::<crate::Result<_>>()?;
        let options = storage::CarExportOptions {
            version: match options.version {
                CarVersion::V1 => storage::CarVersion::V1,
                CarVersion::V2 => storage::CarVersion::V2,
            },
            scope: match options.scope {
                CarScope::All => storage::CarScope::All,
                CarScope::Entity => storage::CarScope::Entity,
                CarScope::Block => storage::CarScope::Block,
            },
            range: options.range.map(|range| storage::CarRange { from: range.from, to: range.to }),
            offline: options.offline,
        };
        let exporter = run(storage.car_exporter(paths, options))?;
        Ok(CarExport::new(OpenExport(RefCell::new(Exporting { exporter, rest: Bytes::new() }))))
    }

    fn size(&self) -> u64 {
        self.0.borrow().exporter.size()
    }

    fn read(&self, max: u32) -> Result<Vec<u8>, Error> {
        let exporting = &mut *self.0.borrow_mut();
        if max == 0 {
            return Err(Error::InvalidArgument("a read of 0 bytes; at least 1".into()));
        }
        if exporting.rest.is_empty() {
            exporting.rest = run(exporting.exporter.next())?.unwrap_or_default();
        }
        let count = exporting.rest.len().min(max as usize);
        Ok(exporting.rest.split_to(count).into())
    }
}
