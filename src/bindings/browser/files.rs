//! The mutable tree: what `npm/files.js` wraps.

use std::rc::Rc;

use futures_util::lock::Mutex;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{
    Cancel, Engine, cancellable,
    convert::{self, Options, list, number},
    opened, promise,
};
use crate::{
    platform::browser::object,
    storage::{self, CopyFrom, FileStat, PastRoot, WriteOptions},
    unixfs::{EntryKind, Metadata, Mtime, Path},
};

/// A file of the tree being written.
#[wasm_bindgen]
pub struct FileWriter {
    writer: Rc<Mutex<storage::FileWriter>>,
}

#[wasm_bindgen]
impl Engine {
    /// Writes what is in memory; has its copy of it on return.
    #[wasm_bindgen(js_name = filesWrite)]
    pub fn files_write(&self, path: String, data: Uint8Array, options: JsValue) -> Promise {
        let (files, data) = (self.storage.files(), data.to_vec());
        promise(async move { files.write(&path, data, write_options(options)?).await.map(nothing) })
    }

    /// Starts writing in pieces.
    #[wasm_bindgen(js_name = filesWriter)]
    pub fn files_writer(&self, path: String, options: JsValue) -> Promise {
        let files = self.storage.files();
        promise(async move {
            let writer = files.writer(&path, write_options(options)?).await?;
            Ok(FileWriter { writer: Rc::new(Mutex::new(writer)) })
        })
    }

    /// Makes a file shorter, or longer.
    #[wasm_bindgen(js_name = filesTruncate)]
    pub fn files_truncate(&self, path: String, length: f64) -> Promise {
        let files = self.storage.files();
        promise(async move { files.truncate(&path, length as u64).await.map(nothing) })
    }

    /// Starts reading a file.
    #[wasm_bindgen(js_name = filesReader)]
    pub fn files_reader(&self, path: String, reading: &convert::Reading, cancel: &Cancel) -> Promise {
        let (files, options) = (self.storage.files(), reading.into());
        cancellable(cancel, async move { opened(files.reader(&path, options).await?).await })
    }

    /// Makes a directory.
    #[wasm_bindgen(js_name = filesMkdir)]
    pub fn files_mkdir(&self, path: String, options: JsValue) -> Promise {
        let files = self.storage.files();
        promise(async move {
            let given = Options::known(options, &["parents", "mode", "mtime"])?;
            files.mkdir(&path, given.flag("parents")?.unwrap_or_default(), metadata(&given)?).await.map(nothing)
        })
    }

    /// A page of a directory.
    #[wasm_bindgen(js_name = filesLs)]
    pub fn files_ls(&self, path: String, after: Option<String>, limit: u32) -> Promise {
        let files = self.storage.files();
        promise(async move { files.ls(&path, after.as_deref(), limit as usize).await })
    }

    /// What is at a path.
    #[wasm_bindgen(js_name = filesStat)]
    pub fn files_stat(&self, path: String) -> Promise {
        let files = self.storage.files();
        promise(async move { files.stat(&path).await })
    }

    /// Links something under another path; of the tree, if it begins with a slash and not with `/ipfs/`.
    #[wasm_bindgen(js_name = filesCp)]
    pub fn files_cp(&self, from: String, to: String, parents: bool) -> Promise {
        let files = self.storage.files();
        promise(async move {
            let from = match from.starts_with('/') && !from.starts_with("/ipfs/") {
                true => CopyFrom::Tree(from),
                false => CopyFrom::Path(Path::parse(&from)?),
            };
            files.cp(&from, &to, parents).await.map(nothing)
        })
    }

    /// Moves.
    #[wasm_bindgen(js_name = filesMv)]
    pub fn files_mv(&self, from: String, to: String) -> Promise {
        let files = self.storage.files();
        promise(async move { files.mv(&from, &to).await.map(nothing) })
    }

    /// Removes.
    #[wasm_bindgen(js_name = filesRm)]
    pub fn files_rm(&self, path: String, recursive: bool, force: bool) -> Promise {
        let files = self.storage.files();
        promise(async move { files.rm(&path, recursive, force).await.map(nothing) })
    }

    /// Sets when something was changed last, in milliseconds.
    #[wasm_bindgen(js_name = filesTouch)]
    pub fn files_touch(&self, path: String, time: f64) -> Promise {
        let files = self.storage.files();
        promise(async move { files.touch(&path, mtime(time)).await.map(nothing) })
    }

    /// Sets permissions.
    #[wasm_bindgen(js_name = filesChmod)]
    pub fn files_chmod(&self, path: String, mode: u32) -> Promise {
        let files = self.storage.files();
        promise(async move { files.chmod(&path, mode).await.map(nothing) })
    }

    /// Makes all that was changed survive a power cut; the CID at a path.
    #[wasm_bindgen(js_name = filesFlush)]
    pub fn files_flush(&self, path: String) -> Promise {
        let files = self.storage.files();
        promise(async move { files.flush(&path).await.map(|cid| cid.to_string()) })
    }

    /// The last roots.
    #[wasm_bindgen(js_name = filesHistory)]
    pub fn files_history(&self) -> Promise {
        let files = self.storage.files();
        promise(async move {
            let root =
                |PastRoot { cid, changed }| object(&[("cid", cid.to_string().into()), ("changed", number(changed))]);
            files.history().await.map(|roots| list(roots.into_iter().map(root)))
        })
    }
}

#[wasm_bindgen]
impl FileWriter {
    /// Takes the next bytes, of which it has its copy on return; settles when there is room for more.
    pub fn write(&self, bytes: Uint8Array) -> Promise {
        let (writer, bytes) = (self.writer.clone(), bytes.to_vec());
        promise(async move { writer.lock().await.write(bytes.into()).await.map(nothing) })
    }

    /// Ends it.
    pub fn finish(&self) -> Promise {
        let writer = self.writer.clone();
        promise(async move { writer.lock().await.finish().await.map(nothing) })
    }

    /// Gives up; nothing is changed.
    pub fn abort(&self) -> Promise {
        let writer = self.writer.clone();
        promise(async move {
            writer.lock().await.abort().await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn nothing(_: ()) -> JsValue {
    JsValue::UNDEFINED
}

fn write_options(value: JsValue) -> crate::Result<WriteOptions> {
    let known = ["offset", "append", "create", "parents", "truncate", "mode", "mtime"];
    let given = Options::known(value, &known)?;
    let flag = |name| given.flag(name).map(Option::unwrap_or_default);
    Ok(WriteOptions {
        offset: given.number("offset")?.unwrap_or_default() as u64,
        append: flag("append")?,
        create: flag("create")?,
        parents: flag("parents")?,
        truncate: flag("truncate")?,
        metadata: metadata(&given)?,
    })
}

fn metadata(given: &Options) -> crate::Result<Metadata> {
    let mode = given.number("mode")?.map(|mode| mode as u32);
    Ok(Metadata { mode, mtime: given.number("mtime")?.map(mtime) })
}

/// Of milliseconds since the Unix epoch.
pub(super) fn mtime(time: f64) -> Mtime {
    let seconds = (time / 1000.0).floor();
    Mtime { seconds: seconds as i64, nanoseconds: ((time - seconds * 1000.0) * 1e6) as u32 }
}

fn kind(kind: EntryKind) -> JsValue {
    kind.name().into()
}

impl From<FileStat> for JsValue {
    fn from(stat: FileStat) -> Self {
        let FileStat { cid, kind: what, size, cumulative_size, links, metadata: Metadata { mode, mtime } } = stat;
        let time = |mtime: Mtime| mtime.seconds as f64 * 1000.0 + f64::from(mtime.nanoseconds) / 1e6;
        object(&[
            ("cid", cid.to_string().into()),
            ("kind", kind(what)),
            ("size", number(size)),
            ("cumulativeSize", number(cumulative_size)),
            ("links", number(links)),
            ("mode", mode.into()),
            ("mtime", mtime.map(time).into()),
        ])
    }
}
