//! Files that JavaScript gives: those of OPFS, by sync access handles in a dedicated worker (`npm/opfs.js`), and those of
//! `node:fs` (`npm/folder.js`).

use std::rc::Rc;

use async_trait::async_trait;
use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::{failed, room};
use crate::{
    error::Result,
    platform::{
        Room,
        files::{Directory, RandomAccessFile},
    },
};

#[wasm_bindgen]
extern "C" {
    /// A folder. `kind` is `opfs` or `pack`.
    #[derive(Clone)]
    pub type JsFolder;

    #[wasm_bindgen(method, catch)]
    async fn open(this: &JsFolder, name: &str) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn list(this: &JsFolder) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn remove(this: &JsFolder, name: &str) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn sync(this: &JsFolder) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn close(this: &JsFolder);

    #[wasm_bindgen(method, catch)]
    async fn load(this: &JsFolder) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn trim(this: &JsFolder);

    #[wasm_bindgen(method, getter)]
    fn kind(this: &JsFolder) -> String;

    /// An open file. It makes its views of the memory itself, for each call: they do not outlive a growing memory.
    type JsFile;

    #[wasm_bindgen(method, catch)]
    fn size(this: &JsFile) -> std::result::Result<f64, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn read(this: &JsFile, memory: &JsValue, place: u32, length: u32, at: f64) -> std::result::Result<u32, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn write(this: &JsFile, memory: &JsValue, place: u32, length: u32, at: f64) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn truncate(this: &JsFile, length: f64) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn flush(this: &JsFile) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method)]
    fn release(this: &JsFile);
}

/// A folder of OPFS, or of Node.
pub struct BrowserDirectory {
    folder: JsFolder,
    memory: JsValue,
}

impl BrowserDirectory {
    /// As JavaScript has it.
    pub fn new(folder: JsFolder) -> Self {
        BrowserDirectory { folder, memory: wasm_bindgen::memory() }
    }

    /// Closes all its files.
    pub fn close(&self) {
        self.folder.close();
    }

    /// Of a folder whose files cannot be read at once: loads what a read has failed for; false if there is no such thing.
    pub async fn load(&self) -> Result<bool> {
        let loaded = self.folder.load().await.map_err(|error| failed("cannot read a file", &error))?;
        Ok(loaded.is_truthy())
    }

    /// Keeps only some of what was loaded.
    pub fn trim(&self) {
        self.folder.trim();
    }
}

#[async_trait(?Send)]
impl Directory for BrowserDirectory {
    async fn open(&self, name: &str) -> Result<Rc<dyn RandomAccessFile>> {
        let file = self.folder.open(name).await.map_err(|error| failed("cannot open a file", &error))?;
        Ok(Rc::new(BrowserFile { file: file.unchecked_into(), memory: self.memory.clone() }))
    }

    async fn list(&self) -> Result<Vec<String>> {
        let names = self.folder.list().await.map_err(|error| failed("cannot list the folder", &error))?;
        Ok(Array::from(&names).iter().filter_map(|name| name.as_string()).collect())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.folder.remove(name).await.map(drop).map_err(|error| failed("cannot remove a file", &error))
    }

    async fn sync(&self) -> Result<()> {
        self.folder.sync().await.map(drop).map_err(|error| failed("cannot sync the folder", &error))
    }

    fn kind(&self) -> &'static str {
        if self.folder.kind() == "opfs" { "opfs" } else { "pack" }
    }

    async fn room(&self) -> Result<Option<Room>> {
        if self.kind() == "opfs" { room().await } else { Ok(None) }
    }
}

struct BrowserFile {
    file: JsFile,
    memory: JsValue,
}

impl Drop for BrowserFile {
    fn drop(&mut self) {
        self.file.release();
    }
}

impl RandomAccessFile for BrowserFile {
    fn len(&self) -> Result<u64> {
        Ok(self.file.size().map_err(|error| failed("cannot look at a file", &error))? as u64)
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.file.read(&self.memory, bytes.as_mut_ptr() as u32, length as u32, offset as f64);
        bytes.truncate(read.map_err(|error| failed("cannot read a file", &error))? as usize);
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.write(&self.memory, bytes.as_ptr() as u32, bytes.len() as u32, offset as f64);
        written.map_err(|error| failed("cannot write a file", &error))
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.file.truncate(length as f64).map_err(|error| failed("cannot resize a file", &error))
    }

    fn sync(&self) -> Result<()> {
        self.file.flush().map_err(|error| failed("cannot sync a file", &error))
    }
}
