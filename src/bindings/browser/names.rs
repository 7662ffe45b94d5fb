//! Names that lead to CIDs.

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::{
    Engine,
    convert::{list, number},
    promise,
};
use crate::{
    block,
    platform::browser::object,
    storage::{Expected, NamePage, Named},
};

#[wasm_bindgen]
impl Engine {
    /// Has a name lead to a CID, if it leads where it is expected to: `undefined` anywhere, `null` nowhere.
    #[wasm_bindgen(js_name = setName)]
    pub fn set_name(&self, name: String, cid: String, expected: JsValue) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.set_name(&name, &block::parse(&cid)?, parsed(&expected)?).await })
    }

    /// What a name leads to.
    #[wasm_bindgen(js_name = getName)]
    pub fn get_name(&self, name: String) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.get_name(&name).await })
    }

    /// Forgets a name.
    #[wasm_bindgen(js_name = removeName)]
    pub fn remove_name(&self, name: String, expected: JsValue) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.remove_name(&name, parsed(&expected)?).await.map(|()| JsValue::UNDEFINED) })
    }

    /// A page of names.
    #[wasm_bindgen(js_name = listNames)]
    pub fn list_names(&self, prefix: String, after: Option<String>, limit: u32) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.list_names(&prefix, after.as_deref(), limit as usize).await })
    }
}

fn parsed(expected: &JsValue) -> crate::Result<Expected> {
    Ok(match expected.as_string() {
        Some(cid) => Expected::Cid(block::parse(&cid)?),
        None if expected.is_null() => Expected::Absent,
        None => Expected::Any,
    })
}

impl From<Named> for JsValue {
    fn from(named: Named) -> Self {
        let Named { name, cid, modified } = named;
        object(&[("name", name.into()), ("cid", cid.to_string().into()), ("modified", number(modified))])
    }
}

impl From<NamePage> for JsValue {
    fn from(page: NamePage) -> Self {
        object(&[("names", list(page.names)), ("next", page.next.into())])
    }
}
