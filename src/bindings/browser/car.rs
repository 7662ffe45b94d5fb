//! Archives, in and out.

use std::rc::Rc;

use futures_util::lock::Mutex;
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{Cancel, Engine, cancellable, convert, promise};
use crate::{
    storage::{CarExporter, CarImporter},
    unixfs::Path,
};

/// An archive being imported.
#[wasm_bindgen]
pub struct CarImport {
    position: f64,
    importer: Rc<Mutex<CarImporter>>,
}

/// An archive being written.
#[wasm_bindgen]
pub struct CarExport {
    exporter: Rc<Mutex<CarExporter>>,
}

#[wasm_bindgen]
impl Engine {
    /// Starts importing an archive, or goes on with it.
    #[wasm_bindgen(js_name = importCar)]
    pub fn import_car(&self, options: JsValue) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            let importer = storage.car_importer(convert::car_import_options(options)?).await?;
            Ok(CarImport { position: importer.position() as f64, importer: Rc::new(Mutex::new(importer)) })
        })
    }

    /// Starts exporting what these paths lead to.
    #[wasm_bindgen(js_name = exportCar)]
    pub fn export_car(&self, paths: Array, options: JsValue, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        cancellable(cancel, async move {
            let options = convert::car_export_options(options)?;
            let paths = paths.iter().map(|path| Path::parse(&path.as_string().unwrap_or_default()));
            let exporter = storage.car_exporter(paths.collect::<crate::Result<_>>()?, options).await?;
            Ok(CarExport { exporter: Rc::new(Mutex::new(exporter)) })
        })
    }
}

#[wasm_bindgen]
impl CarImport {
    /// Where in the archive it began.
    #[wasm_bindgen(getter)]
    pub fn position(&self) -> f64 {
        self.position
    }

    /// Takes the next bytes, of which it has its copy on return; settles when there is room for more.
    pub fn write(&self, bytes: Uint8Array) -> Promise {
        let (importer, bytes) = (self.importer.clone(), bytes.to_vec());
        promise(async move { importer.lock().await.write(bytes.into()).await.map(|()| JsValue::UNDEFINED) })
    }

    /// Ends the archive.
    pub fn finish(&self) -> Promise {
        let importer = self.importer.clone();
        promise(async move { importer.lock().await.finish().await })
    }

    /// Lets go of it: what can be resumed stays.
    pub fn close(&self) -> Promise {
        let importer = self.importer.clone();
        promise(async move {
            importer.lock().await.close().await;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Gives up for good.
    pub fn abort(&self) -> Promise {
        let importer = self.importer.clone();
        promise(async move { importer.lock().await.abort().await.map(|()| JsValue::UNDEFINED) })
    }
}

#[wasm_bindgen]
impl CarExport {
    /// The next bytes, or undefined at the end.
    pub fn next(&self, cancel: &Cancel) -> Promise {
        let exporter = self.exporter.clone();
        cancellable(cancel, async move {
            let piece = exporter.lock().await.next().await?;
            Ok(piece.map(|bytes| Uint8Array::from(bytes.as_ref())))
        })
    }
}
