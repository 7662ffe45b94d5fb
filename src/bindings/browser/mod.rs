//! The browser binding: what `npm/index.js` wraps. Arguments and results are plain values; errors are thrown as objects
//! `{ code, message, ... }`, of which the package makes its error classes.

mod backends;
mod blocks;
mod calls;
mod cancel;
mod car;
mod check;
mod collection;
mod convert;
mod files;
mod names;
mod outbox;
mod pack;
pub mod remote;
mod tree;
mod values;

use std::rc::Rc;

use bytes::Bytes;
use futures_util::{TryFutureExt, future::LocalBoxFuture, lock::Mutex};
use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use self::cancel::Cancel;
use crate::{
    block,
    platform::browser::{BrowserClock, BrowserHasher, buffers},
    storage::{self, PinOptions, PushOptions, ReadOptions, Storage},
    tier::IdbTier,
    unixfs::Path,
};

/// Files and ranges of up to so many bytes come with the answer to their opening: each call of a worker takes its time.
const WHOLE_BYTES: u64 = 1024 * 1024;

type Outcome<T> = Result<T, JsValue>;

/// An open store.
#[wasm_bindgen]
pub struct Engine {
    storage: Storage,
    /// Its database, if it is in one.
    database: Option<Rc<IdbTier>>,
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
    pub fn open(name: String, options: JsValue, remotes: Array) -> Promise {
        promise(async move {
            let options = convert::open_options(options, &remotes)?;
            let tier = Rc::new(IdbTier::open(&name).await?);
            let storage = Storage::new(tier.clone(), Rc::new(BrowserHasher), Rc::new(BrowserClock), options)?;
            Ok(Engine { storage, database: Some(tier) })
        })
    }

    /// Stores one file that is in memory; has its copy of it on return.
    pub fn store(&self, data: Uint8Array, options: JsValue) -> Promise {
        let (storage, data) = (self.storage.clone(), data.to_vec());
        promise(async move { storage.store(data, convert::store_options(options)?).await })
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
        let files: crate::Result<Vec<_>> = files.iter().map(file).collect();
        promise(async move { storage.store_many(files?).await.map(convert::files) })
    }

    /// Starts storing one file.
    pub fn writer(&self, options: JsValue) -> Outcome<Writer> {
        let writer = self.storage.writer(convert::store_options(options)?)?;
        Ok(Writer { writer: Rc::new(Mutex::new(writer)) })
    }

    /// Starts reading a file, by its CID or by a path below one; gives what is small whole, and no reader.
    pub fn reader(&self, path: String, reading: &convert::Reading, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        let options = ReadOptions { on_fetched: told.map(convert::on_fetched), ..reading.into() };
        cancellable(cancel, async move { opened(storage.reader(Path::parse(&path)?, options).await?).await })
    }

    /// What is known of a stored root, or of what is at a path.
    pub fn stat(&self, path: String, offline: bool) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.stat(Path::parse(&path)?, offline).await })
    }

    /// A page of stored roots, or of what is in a directory.
    #[wasm_bindgen(js_name = listFiles)]
    pub fn list_files(&self, path: String, after: Option<String>, limit: u32, offline: bool) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.list_files(&path, after.as_deref(), limit as usize, offline).await })
    }

    /// Whether it is held locally.
    pub fn exists(&self, cid: String) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.exists(&block::parse(&cid)?).await })
    }

    /// Forgets a root.
    pub fn delete(&self, cid: String, force: bool) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.delete(&block::parse(&cid)?, force).await.map(|()| JsValue::UNDEFINED) })
    }

    /// Pins a DAG or a block.
    pub fn pin(&self, cid: String, options: JsValue, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        cancellable(cancel, async move {
            let options = PinOptions { on_fetched: told.map(convert::on_fetched), ..convert::pin_options(options)? };
            storage.pin(&block::parse(&cid)?, options).await
        })
    }

    /// A page of pins.
    #[wasm_bindgen(js_name = listPins)]
    pub fn list_pins(&self, after: Option<String>, limit: u32) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            let after = after.map(|cid| block::parse(&cid)).transpose()?;
            storage.pins(after.as_ref(), limit as usize).await
        })
    }

    /// Gives a DAG to a remote.
    pub fn push(&self, cid: String, remote: String, pin: bool, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        cancellable(cancel, async move {
            let options = PushOptions { pin, on_pushed: told.map(convert::on_pushed) };
            storage.push(&block::parse(&cid)?, &remote, options).await
        })
    }

    /// Takes a pin away.
    pub fn unpin(&self, cid: String) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.unpin(&block::parse(&cid)?).await.map(|()| JsValue::UNDEFINED) })
    }

    /// The state of the store.
    #[wasm_bindgen(js_name = backendStatus)]
    pub fn backend_status(&self) -> Promise {
        let storage = self.storage.clone();
        promise(async move { Ok(storage.backend_status().await) })
    }

    /// Whether a remote can be used now.
    #[wasm_bindgen(js_name = isAvailable)]
    pub fn is_available(&self) -> bool {
        self.storage.is_available()
    }

    /// Sets limits.
    #[wasm_bindgen(js_name = configureCache)]
    pub fn configure_cache(&self, config: JsValue) -> Outcome<()> {
        Ok(self.storage.configure_cache(convert::cache_config(config)?)?)
    }

    /// Makes everything acknowledged survive a power cut.
    pub fn flush(&self) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.flush().await.map(|()| JsValue::UNDEFINED) })
    }

    /// Closes the database; what is in files is closed where it was opened.
    pub fn close(&self) {
        if let Some(database) = &self.database {
            database.close();
        }
    }
}

#[wasm_bindgen]
impl Writer {
    /// Takes the next bytes, of which it has its copy on return; settles when there is room for more.
    pub fn write(&self, bytes: Uint8Array) -> Promise {
        let (writer, bytes) = (self.writer.clone(), bytes.to_vec());
        promise(async move { writer.lock().await.write(bytes.into()).await.map(|()| JsValue::UNDEFINED) })
    }

    /// Ends the file and commits it.
    pub fn finish(&self) -> Promise {
        let writer = self.writer.clone();
        promise(async move { writer.lock().await.finish().await })
    }

    /// Gives up; nothing is stored.
    pub fn abort(&self) -> Promise {
        let writer = self.writer.clone();
        promise(async move {
            writer.lock().await.abort().await;
            Ok(JsValue::UNDEFINED)
        })
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
        cancellable(cancel, async move { reading.lock().await.next().await })
    }
}

/// The bytes of a small file or range, or a reader of more.
async fn opened(reader: storage::Reader) -> crate::Result<JsValue> {
    let (size, remaining) = (reader.size() as f64, reader.remaining());
    let mut reading = Reading { reader, rest: None };
    if remaining <= WHOLE_BYTES {
        return Ok(reading.whole(remaining as u32).await?.into());
    }
    Ok(Reader { size, remaining: remaining as f64, reading: Rc::new(Mutex::new(reading)) }.into())
}

type Call = LocalBoxFuture<'static, crate::Result<JsValue>>;

/// A call, as a promise.
fn promise<T: Into<JsValue> + 'static>(call: impl Future<Output = crate::Result<T>> + 'static) -> Promise {
    settled(boxed(call))
}

/// A call that can be ended, as a promise.
fn cancellable<T: Into<JsValue> + 'static>(
    cancel: &Cancel,
    call: impl Future<Output = crate::Result<T>> + 'static,
) -> Promise {
    settled(Box::pin(cancel.ends(boxed(call))))
}

/// In a box, calls are of one type: what makes promises of them is there once, and not for each of them.
fn boxed<T: Into<JsValue> + 'static>(call: impl Future<Output = crate::Result<T>> + 'static) -> Call {
    Box::pin(call.map_ok(T::into))
}

fn settled(call: Call) -> Promise {
    future_to_promise(async move { Ok(call.await?) })
}

impl Reading {
    /// All of it, which is so long.
    async fn whole(&mut self, length: u32) -> crate::Result<Uint8Array> {
        let first = self.next().await?.unwrap_or_default();
        if first.length() == length {
            return Ok(first);
        }
        let whole = Uint8Array::new_with_length(length);
        whole.set(&first, 0);
        let mut at = first.length();
        while let Some(piece) = self.next().await? {
            whole.set(&piece, at);
            at += piece.length();
        }
        Ok(whole)
    }

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
