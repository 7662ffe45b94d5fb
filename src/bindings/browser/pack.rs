//! Stores in files: OPFS in dedicated workers, and folders in Node.

use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;

use super::{Engine, Outcome, convert, promise};
use crate::{
    platform::browser::{BrowserClock, BrowserDirectory, BrowserHasher, JsFolder},
    storage::Storage,
    tier::{
        IdbTier, Sharing, SnapshotTier, Tier, has_all,
        pack::{Opening, PackTier},
        take_over,
    },
};

/// An engine over a store in a folder whose files cannot be read at once, and not be written at all.
#[wasm_bindgen(js_name = openSnapshot)]
pub fn open_snapshot(folder: JsFolder, options: JsValue, remotes: Array) -> Promise {
    promise(async move {
        let options = convert::open_options(options, &remotes)?;
        let directory = Rc::new(BrowserDirectory::new(folder));
        let tier = SnapshotTier::open(directory, Rc::new(BrowserHasher), Rc::new(BrowserClock)).await?;
        let storage = Storage::new(Rc::new(tier), Rc::new(BrowserHasher), Rc::new(BrowserClock), options)?;
        Ok(Engine { storage, database: None })
    })
}

async fn moved(from: &dyn Tier, to: &dyn Tier) -> crate::Result<JsValue> {
    if has_all(from).await? {
        take_over(from, to, &BrowserHasher).await?;
    }
    Ok(JsValue::UNDEFINED)
}

/// A store in files that is open here, for as many engines as want it.
#[wasm_bindgen]
pub struct Pack {
    sharing: Rc<Sharing<PackTier>>,
    directory: Rc<BrowserDirectory>,
}

#[wasm_bindgen]
impl Pack {
    /// Opens the store in a folder, or makes one. `exclusive`: the caller lets nobody else open it.
    pub fn open(folder: JsFolder, exclusive: bool) -> Promise {
        promise(async move {
            let directory = Rc::new(BrowserDirectory::new(folder));
            let opening = Opening { exclusive, ..Opening::default() };
            let (hasher, clock) = (Rc::new(BrowserHasher), Rc::new(BrowserClock));
            let tier = PackTier::open_with(directory.clone(), hasher, clock, opening).await?;
            Ok(Pack { sharing: Rc::new(Sharing::new(tier)), directory })
        })
    }

    /// An engine over it.
    pub fn engine(&self, options: JsValue, remotes: Array) -> Outcome<Engine> {
        let options = convert::open_options(options, &remotes)?;
        let tier = Rc::new(self.sharing.open());
        let storage = Storage::new(tier, Rc::new(BrowserHasher), Rc::new(BrowserClock), options)?;
        Ok(Engine { storage, database: None })
    }

    /// Has it hold what the database of this name does, which is left as it is; an unfinished copy there is none. Tells
    /// whether that database is not needed any more.
    ///
    /// A store that is whole here is never changed by it: then the database is what a move has left behind, or somebody else's.
    #[wasm_bindgen(js_name = takeOver)]
    pub fn take_over(&self, name: String) -> Promise {
        let sharing = self.sharing.clone();
        promise(async move {
            let whole = has_all(sharing.tier()).await?;
            let database = match IdbTier::open(&name).await {
                Err(_) if whole => return Ok(false.into()),
                opened => opened?,
            };
            let moved = if whole { Ok(JsValue::UNDEFINED) } else { moved(&database, sharing.tier()).await };
            database.close();
            moved.map(|_| JsValue::TRUE)
        })
    }

    /// The other way round.
    #[wasm_bindgen(js_name = giveBack)]
    pub fn give_back(&self, name: String) -> Promise {
        let sharing = self.sharing.clone();
        promise(async move {
            let database = IdbTier::open(&name).await?;
            let moved = moved(sharing.tier(), &database).await;
            database.close();
            moved
        })
    }

    /// Makes everything durable and closes its files. No call of its engines works after it.
    pub fn close(&self) -> Promise {
        let (sharing, directory) = (self.sharing.clone(), self.directory.clone());
        promise(async move {
            let closed = sharing.tier().close().await;
            directory.close();
            closed.map(|()| JsValue::UNDEFINED)
        })
    }
}
