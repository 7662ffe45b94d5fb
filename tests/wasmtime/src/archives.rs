//! Interface `car`, for the one open store of a plugin.

use wasmtime::component::ResourceAny;

use crate::{
    Plugin,
    car::{CarExportOptions, CarImportOptions, CarReport},
    types::Error,
};

const TRAP: &str = "the component trapped";

#[allow(missing_docs)]
impl Plugin {
    pub fn open_import(&mut self, options: &CarImportOptions) -> Result<ResourceAny, Error> {
        let (local, store, handle) = self.parts();
        local.ipfs_kit_storage_car().car_import().call_open(store, handle, options).expect(TRAP)
    }

    pub fn import_position(&mut self, import: ResourceAny) -> u64 {
        let (local, store, _) = self.parts();
        local.ipfs_kit_storage_car().car_import().call_position(store, import).expect(TRAP)
    }

    pub fn import_write(&mut self, import: ResourceAny, bytes: &[u8]) -> Result<(), Error> {
        let (local, store, _) = self.parts();
        local.ipfs_kit_storage_car().car_import().call_write(store, import, bytes).expect(TRAP)
    }

    pub fn import_finish(&mut self, import: ResourceAny) -> Result<CarReport, Error> {
        let (local, store, _) = self.parts();
        local.ipfs_kit_storage_car().car_import().call_finish(store, import).expect(TRAP)
    }

    pub fn import_abort(&mut self, import: ResourceAny) -> Result<(), Error> {
        let (local, store, _) = self.parts();
        local.ipfs_kit_storage_car().car_import().call_abort(store, import).expect(TRAP)
    }

    /// An archive, in pieces.
    pub fn import(&mut self, archive: &[u8], piece: usize, options: &CarImportOptions) -> Result<CarReport, Error> {
        let import = self.open_import(options)?;
        let done = archive.chunks(piece).try_for_each(|piece| self.import_write(import, piece));
        let done = done.and_then(|()| self.import_finish(import));
        self.release(import);
        done
    }

    /// An archive of what these paths lead to, and the size that was told.
    pub fn export(&mut self, paths: &[&str], options: CarExportOptions, max: u32) -> Result<(Vec<u8>, u64), Error> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let (local, store, handle) = self.parts();
        let export = local.ipfs_kit_storage_car().car_export();
        let exporting = export.call_open(&mut *store, handle, &paths, options).expect(TRAP)?;
        let mut archive = Vec::new();
        loop {
            let bytes = export.call_read(&mut *store, exporting, max).expect(TRAP)?;
            assert!(bytes.len() <= max as usize);
            if bytes.is_empty() {
                break;
            }
            archive.extend(bytes);
        }
        let size = export.call_size(&mut *store, exporting).expect(TRAP);
        exporting.resource_drop(store).expect(TRAP);
        Ok((archive, size))
    }
}
