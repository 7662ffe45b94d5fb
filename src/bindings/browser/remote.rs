//! Remotes made in JavaScript: an object with a method `get`, such as `npm/helia.js` makes of a Helia node. What one must
//! offer says `Remote` in `npm/index.d.ts`.

use std::rc::Rc;

use async_trait::async_trait;
use js_sys::{Array, Function, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use super::calls;
use crate::{
    block::{Block, Cid, MAX_BLOCK_BYTES},
    error::{Error, Result as Outcome},
    platform::{
        browser::{message, text},
        http::Body,
    },
    remote::{Connector, Failure, Remote, Whole},
};

/// The empty block, inlined in its CID.
const PROBE: &str = "bafkqaaa";

struct JsRemote {
    object: Object,
    name: String,
    kind: String,
}

/// Of each its remote: a text is an address, an object is one itself.
pub fn remotes(given: &Array, connector: &dyn Connector) -> Outcome<Vec<Rc<dyn Remote>>> {
    given.iter().map(|one| remote(&one, connector)).collect()
}

fn remote(given: &JsValue, connector: &dyn Connector) -> Outcome<Rc<dyn Remote>> {
    if let Some(address) = given.as_string() {
        return connector.connect(&address);
    }
    let problem =
        || Error::InvalidArgument("a remote is an address, or an object with a name and a method `get`".into());
    let object = given.dyn_ref::<Object>().ok_or_else(problem)?.clone();
    let name = text(&object, "name").filter(|name| !name.is_empty()).ok_or_else(problem)?;
    let kind = text(&object, "kind").unwrap_or_else(|| "custom".into());
    method(&object, "get").ok_or_else(problem)?;
    Ok(Rc::new(JsRemote { object, name, kind }))
}

fn method(object: &Object, name: &str) -> Option<Function> {
    Reflect::get(object, &name.into()).ok()?.dyn_into().ok()
}

impl JsRemote {
    async fn call(&self, method: &Function, arguments: &[JsValue]) -> Result<JsValue, Failure> {
        calls::call(method, &self.object, arguments).await.map_err(|thrown| match text(&thrown, "name").as_deref() {
            Some("NotFoundError") => Failure::NotFound,
            _ => Failure::Unreachable(message(&thrown)),
        })
    }

    async fn get(&self, cid: &str) -> Result<JsValue, Failure> {
        match method(&self.object, "get") {
            Some(get) => self.call(&get, &[cid.into()]).await,
            None => Err(Failure::Unsupported("it has no `get` any more".into())),
        }
    }
}

#[async_trait(?Send)]
impl Remote for JsRemote {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    async fn block(&self, cid: &Cid) -> Result<Box<dyn Body>, Failure> {
        let given = self.get(&cid.to_string()).await?;
        if given.is_undefined() || given.is_null() {
            return Err(Failure::NotFound);
        }
        let bytes = given.dyn_into::<Uint8Array>().map_err(|_| Failure::Broken("it gave no Uint8Array".into()))?;
        if bytes.length() as usize > MAX_BLOCK_BYTES {
            return Err(Failure::Broken(format!("more than {MAX_BLOCK_BYTES} bytes")));
        }
        Ok(Box::new(Whole::from(bytes.to_vec())))
    }

    async fn probe(&self) -> Result<(), Failure> {
        match method(&self.object, "probe") {
            Some(probe) => self.call(&probe, &[]).await.map(drop),
            None => self.get(PROBE).await.map(drop),
        }
    }

    async fn put(&self, blocks: &[Block]) -> Result<(), Failure> {
        let put = method(&self.object, "put").ok_or_else(|| Failure::Unsupported("it takes no blocks".into()))?;
        for block in blocks {
            let bytes = Uint8Array::from(block.bytes().as_ref());
            self.call(&put, &[block.cid().to_string().into(), bytes.into()]).await?;
        }
        Ok(())
    }
}
