//! Trees being stored: what `npm/tree.js` wraps.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::lock::Mutex;
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast, prelude::*};

use super::{Engine, Outcome, convert, files, promise};
use crate::{
    error::Error,
    storage::{StoreOptions, TreeWriter},
    unixfs::Metadata,
};

/// A tree being stored.
#[wasm_bindgen]
pub struct Tree {
    tree: Rc<Mutex<TreeWriter>>,
}

struct Entry {
    path: String,
    what: What,
    metadata: Metadata,
}

enum What {
    Directory,
    File(Bytes),
    Symlink(String),
}

#[wasm_bindgen]
impl Engine {
    /// Starts storing a tree.
    pub fn tree(&self, options: JsValue) -> Outcome<Tree> {
        let options: StoreOptions = convert::store_options(options)?;
        Ok(Tree { tree: Rc::new(Mutex::new(self.storage.tree(options)?)) })
    }
}

#[wasm_bindgen]
impl Tree {
    /// Adds many entries at once; has its copies of them on return. Each is `[path, what, mode, mtime]`: the bytes of a
    /// file, the target of a symbolic link, or, undefined, a directory.
    pub fn add(&self, entries: Array) -> Promise {
        let tree = self.tree.clone();
        let entries: crate::Result<Vec<_>> = entries.iter().map(entry).collect();
        promise(async move {
            let mut tree = tree.lock().await;
            for Entry { path, what, metadata } in entries? {
                match what {
                    What::Directory => tree.directory(&path, metadata).await?,
                    What::File(bytes) => tree.file(&path, bytes, metadata).await?,
                    What::Symlink(target) => tree.symlink(&path, &target, metadata).await?,
                }
            }
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Begins a file that comes in pieces.
    #[wasm_bindgen(js_name = beginFile)]
    pub fn begin_file(&self, path: String, mode: JsValue, mtime: JsValue) -> Promise {
        let tree = self.tree.clone();
        promise(async move {
            tree.lock().await.begin_file(&path, metadata(&mode, &mtime)?)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Takes the next bytes of the file, of which it has its copy on return; settles when there is room for more.
    pub fn write(&self, bytes: Uint8Array) -> Promise {
        let (tree, bytes) = (self.tree.clone(), bytes.to_vec());
        promise(async move { tree.lock().await.write(bytes.into()).await.map(|()| JsValue::UNDEFINED) })
    }

    /// Ends the file.
    #[wasm_bindgen(js_name = endFile)]
    pub fn end_file(&self) -> Promise {
        let tree = self.tree.clone();
        promise(async move { tree.lock().await.end_file().await.map(|()| JsValue::UNDEFINED) })
    }

    /// Ends the tree and commits it.
    pub fn finish(&self) -> Promise {
        let tree = self.tree.clone();
        promise(async move { tree.lock().await.finish().await })
    }

    /// Gives up; nothing is stored.
    pub fn abort(&self) -> Promise {
        let tree = self.tree.clone();
        promise(async move {
            tree.lock().await.abort().await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn entry(entry: JsValue) -> crate::Result<Entry> {
    let entry = Array::from(&entry);
    let what = entry.get(1);
    let what = match (what.as_string(), what.dyn_ref::<Uint8Array>()) {
        (Some(target), _) => What::Symlink(target),
        (None, Some(bytes)) => What::File(bytes.to_vec().into()),
        (None, None) => What::Directory,
    };
    let metadata = metadata(&entry.get(2), &entry.get(3))?;
    Ok(Entry { path: entry.get(0).as_string().unwrap_or_default(), what, metadata })
}

/// Permissions, and milliseconds since the Unix epoch.
fn metadata(mode: &JsValue, mtime: &JsValue) -> crate::Result<Metadata> {
    let number = |value: &JsValue, what: &str, fits: fn(&f64) -> bool| match value.as_f64().filter(fits) {
        None if !value.is_undefined() && !value.is_null() => Err(Error::InvalidArgument(what.into())),
        number => Ok(number),
    };
    let mode = number(mode, "a mode is a whole number from 0", |mode| f64::from(*mode as u32) == *mode)?
        .map(|mode| mode as u32);
    let mtime = number(mtime, "an mtime is a time, in milliseconds", |mtime| mtime.is_finite())?.map(files::mtime);
    Metadata { mode, mtime }.check()
}
