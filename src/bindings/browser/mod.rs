//! The browser binding: what `npm/index.js` wraps. Arguments and results are plain values; errors are thrown as objects
//! `{ code, message, ... }`, of which the package makes its error classes.

mod blocks;
mod cancel;
mod convert;
mod remote;

use std::rc::Rc;

use bytes::Bytes;
use futures_util::lock::Mutex;
use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use self::{
    cancel::Cancel,
    convert::{FileInfo, Thrown},
};
use crate::{
    block,
    platform::browser::{BrowserClock, BrowserHasher, buffers},
    storage::{self, PinOptions, PushOptions, ReadOptions, Storage},
    tier::IdbTier,
    unixfs::Path,
};

type Outcome<T> = Result<T, JsValue>;

/// An open store.
#[wasm_bindgen]
pub struct Engine {
    storage: Storage,
    tier: Rc<IdbTier>,
}

/// A file being stored.
#[wasm_bindgen]
pub struct Writer {
    writer: Rc<Mutex<storage::Writer>>,
}

/// A file being read.
#[wasm_bindgen]
pub struct Reader {
    size: f64,
    remaining: f64,
    reading: Rc<Mutex<Reading>>,
}

struct Reading {
    reader: storage::Reader,
    /// What was asked for and could not be given together with what was before it.
    rest: Option<crate::Result<Option<Bytes>>>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the store of this name.
    pub async fn open(name: String, options: JsValue, remotes: Array) -> Outcome<Engine> {
        let options = convert::open_options(options, &remotes)?;
        let tier = Rc::new(IdbTier::open(&name).await.map_err(Thrown::from)?);
        let storage = Storage::new(tier.clone(), Rc::new(BrowserHasher), Rc::new(BrowserClock), options);
        Ok(Engine { storage: storage.map_err(Thrown::from)?, tier })
    }

    /// Stores one file that is in memory; has its copy of it on return.
    pub fn store(&self, data: Uint8Array, options: JsValue) -> Promise {
        let (storage, data) = (self.storage.clone(), data.to_vec());
        future_to_promise(async move {
            let options = convert::store_options(options)?;
            let stored = storage.store(data, options).await.map_err(Thrown::from)?;
            convert::to_js(&FileInfo::from(stored))
        })
    }

    /// Stores many small files in one commit; has its copies of them on return. Each is `[bytes, options]`.
    #[wasm_bindgen(js_name = storeMany)]
    pub fn store_many(&self, files: Array) -> Promise {
        let storage = self.storage.clone();
        let file = |file: JsValue| {
            let pair = Array::from(&file);
            let bytes = Uint8Array::new(&pair.get(0)).to_vec();
            Ok((Bytes::from(bytes), convert::store_options(pair.get(1))?))
        };
        let files: Outcome<Vec<_>> = files.iter().map(file).collect();
        future_to_promise(async move {
            let stored = storage.store_many(files?).await.map_err(Thrown::from)?;
            convert::to_js(&stored.into_iter().map(FileInfo::from).collect::<Vec<_>>())
        })
    }

    /// Starts storing one file.
    pub fn writer(&self, options: JsValue) -> Outcome<Writer> {
        let writer = self.storage.writer(convert::store_options(options)?).map_err(Thrown::from)?;
        Ok(Writer { writer: Rc::new(Mutex::new(writer)) })
    }

    /// Starts reading a file, by its CID or by a path below one.
    pub fn reader(&self, path: String, options: JsValue, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        settled(cancel, async move {
            let options = ReadOptions { on_fetched: told.map(convert::on_fetched), ..convert::read_options(options)? };
            let reader = storage.reader(Path::parse(&path)?, options).await?;
            Ok(Reader {
                size: reader.size() as f64,
                remaining: reader.remaining() as f64,
                reading: Rc::new(Mutex::new(Reading { reader, rest: None })),
            })
        })
    }

    /// What is known of a stored root.
    pub async fn stat(&self, cid: String) -> Outcome<JsValue> {
        let cid = block::parse(&cid).map_err(Thrown::from)?;
        convert::to_js(&FileInfo::from(self.storage.stat(&cid).await.map_err(Thrown::from)?))
    }

    /// A page of stored roots.
    #[wasm_bindgen(js_name = listFiles)]
    pub async fn list_files(&self, path: String, after: Option<String>, limit: u32) -> Outcome<JsValue> {
        let after = after.map(|cid| block::parse(&cid)).transpose().map_err(Thrown::from)?;
        let page = self.storage.list_files(&path, after.as_ref(), limit as usize).await.map_err(Thrown::from)?;
        convert::to_js(&convert::FilePage::from(page))
    }

    /// Whether it is held locally.
    pub async fn exists(&self, cid: String) -> Outcome<bool> {
        let cid = block::parse(&cid).map_err(Thrown::from)?;
        Ok(self.storage.exists(&cid).await.map_err(Thrown::from)?)
    }

    /// Forgets a root.
    pub async fn delete(&self, cid: String) -> Outcome<()> {
        let cid = block::parse(&cid).map_err(Thrown::from)?;
        Ok(self.storage.delete(&cid).await.map_err(Thrown::from)?)
    }

    /// Pins a root.
    pub fn pin(&self, cid: String, offline: bool, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        settled(cancel, async move {
            let options = PinOptions { offline, on_fetched: told.map(convert::on_fetched) };
            storage.pin(&block::parse(&cid)?, options).await.map(|()| JsValue::UNDEFINED)
        })
    }

    /// Gives a DAG to a remote.
    pub fn push(&self, cid: String, remote: String, pin: bool, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        settled(cancel, async move {
            let options = PushOptions { pin, on_pushed: told.map(convert::on_pushed) };
            let pushed = storage.push(&block::parse(&cid)?, &remote, options).await?;
            Ok(convert::Pushed::from(pushed))
        })
    }

    /// Unpins a root.
    pub async fn unpin(&self, cid: String) -> Outcome<()> {
        let cid = block::parse(&cid).map_err(Thrown::from)?;
        Ok(self.storage.unpin(&cid).await.map_err(Thrown::from)?)
    }

    /// The state of the store.
    #[wasm_bindgen(js_name = backendStatus)]
    pub async fn backend_status(&self) -> Outcome<JsValue> {
        convert::to_js(&convert::Status::from(self.storage.backend_status().await))
    }

    /// Whether a remote can be used now.
    #[wasm_bindgen(js_name = isAvailable)]
    pub fn is_available(&self) -> bool {
        self.storage.is_available()
    }

    /// Sets limits.
    #[wasm_bindgen(js_name = configureCache)]
    pub fn configure_cache(&self, config: JsValue) -> Outcome<()> {
        self.storage.configure_cache(convert::cache_config(config)?);
        Ok(())
    }

    /// Makes everything acknowledged survive a power cut.
    pub async fn flush(&self) -> Outcome<()> {
        Ok(self.storage.flush().await.map_err(Thrown::from)?)
    }

    /// Closes the database.
    pub fn close(&self) {
        self.tier.close();
    }
}

#[wasm_bindgen]
impl Writer {
    /// Takes the next bytes, of which it has its copy on return; settles when there is room for more.
    pub fn write(&self, bytes: Uint8Array) -> Promise {
        let (writer, bytes) = (self.writer.clone(), bytes.to_vec());
        future_to_promise(async move {
            writer.lock().await.write(bytes.into()).await.map_err(Thrown::from)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Ends the file and commits it.
    pub async fn finish(&self) -> Outcome<JsValue> {
        let writer = self.writer.clone();
        let stored = writer.lock().await.finish().await.map_err(Thrown::from)?;
        convert::to_js(&FileInfo::from(stored))
    }

    /// Gives up; nothing is stored.
    pub async fn abort(&self) {
        let writer = self.writer.clone();
        writer.lock().await.abort().await;
    }
}

#[wasm_bindgen]
impl Reader {
    /// Bytes of the whole file.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> f64 {
        self.size
    }

    /// Bytes of the range, at its start.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> f64 {
        self.remaining
    }

    /// The next bytes, or undefined at the end.
    pub fn next(&self, cancel: &Cancel) -> Promise {
        let reading = self.reading.clone();
        settled(cancel, async move { reading.lock().await.next().await })
    }
}

/// A call, as a promise.
fn settled<T: Into<JsValue> + 'static>(
    cancel: &Cancel,
    call: impl Future<Output = crate::Result<T>> + 'static,
) -> Promise {
    let call = cancel.ends(call);
    future_to_promise(async move { Ok(call.await.map_err(Thrown::from)?.into()) })
}

impl Reading {
    /// Blocks that came in one buffer are given in that buffer, without a copy; others are copied.
    async fn next(&mut self) -> crate::Result<Option<Uint8Array>> {
        let first = match self.rest.take() {
            Some(rest) => rest?,
            None => self.reader.next().await?,
        };
        let Some(first) = first else { return Ok(None) };
        let Some(view) = buffers::take(&first).filter(|view| view.byte_offset() == 0) else {
            return Ok(Some(Uint8Array::from(first.as_ref())));
        };
        let (buffer, mut end) = (view.buffer(), view.length());
        while end < buffer.byte_length() {
            let next = self.reader.next().await;
            let follows = match &next {
                Ok(Some(bytes)) => buffers::take_next(bytes, &buffer, end),
                _ => None,
            };
            let Some(further) = follows else {
                self.rest = Some(next);
                return Ok(Some(Uint8Array::new(&buffer).slice(0, end)));
            };
            end = further;
        }
        Ok(Some(Uint8Array::new(&buffer)))
    }
}
