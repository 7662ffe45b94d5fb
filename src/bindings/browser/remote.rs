//! Remotes made in JavaScript: an object with a method `get`, such as `npm/helia.js` makes of a Helia node. What one must
//! offer says `Remote` in `npm/index.d.ts`.

use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::{
    block::{Cid, MAX_BLOCK_BYTES},
    error::{Error, Result as Outcome},
    platform::{
        browser::{BrowserHttp, message, text},
        http::Body,
    },
    remote::{Failure, Gateway, Remote, Wanted},
};

/// The empty block, inlined in its CID.
const PROBE: &str = "bafkqaaa";

#[wasm_bindgen]
extern "C" {
    type AbortController;

    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;

    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;

    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);
}

/// Aborts what nobody waits for any more.
struct Call {
    controller: AbortController,
    ended: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.controller.abort();
        }
    }
}

struct JsRemote {
    object: Object,
    name: String,
    kind: &'static str,
}

/// Of each its remote: a URL is a gateway's, an object is one itself.
pub fn remotes(given: &Array) -> Outcome<Vec<Rc<dyn Remote>>> {
    given.iter().map(|one| remote(&one)).collect()
}

fn remote(given: &JsValue) -> Outcome<Rc<dyn Remote>> {
    if let Some(url) = given.as_string() {
        return Ok(Rc::new(Gateway::new(Rc::new(BrowserHttp), &url)?));
    }
    let problem = || Error::InvalidArgument("a remote is a URL, or an object with a name and a method `get`".into());
    let object = given.dyn_ref::<Object>().ok_or_else(problem)?.clone();
    let name = text(&object, "name").filter(|name| !name.is_empty()).ok_or_else(problem)?;
    let kind = if text(&object, "kind").as_deref() == Some("helia") { "helia" } else { "custom" };
    method(&object, "get").ok_or_else(problem)?;
    Ok(Rc::new(JsRemote { object, name, kind }))
}

fn method(object: &Object, name: &str) -> Option<Function> {
    Reflect::get(object, &name.into()).ok()?.dyn_into().ok()
}

impl JsRemote {
    /// Calls a method with a CID, if it takes one, and `{ signal }`.
    async fn call(&self, method: &Function, cid: Option<&str>) -> Result<JsValue, Failure> {
        let mut call = Call { controller: AbortController::new(), ended: false };
        let options = Object::new();
        let settled = Reflect::set(&options, &"signal".into(), &call.controller.signal()).and_then(|_| match cid {
            Some(cid) => method.call2(&self.object, &cid.into(), &options),
            None => method.call1(&self.object, &options),
        });
        let done = match settled {
            Ok(value) => JsFuture::from(Promise::resolve(&value)).await,
            Err(thrown) => Err(thrown),
        };
        call.ended = true;
        done.map_err(|thrown| match text(&thrown, "name").as_deref() {
            Some("NotFoundError") => Failure::NotFound,
            _ => Failure::Unreachable(message(&thrown)),
        })
    }

    async fn get(&self, cid: &str) -> Result<JsValue, Failure> {
        match method(&self.object, "get") {
            Some(get) => self.call(&get, Some(cid)).await,
            None => Err(Failure::Unsupported("it has no `get` any more".into())),
        }
    }
}

#[async_trait(?Send)]
impl Remote for JsRemote {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn block(&self, cid: &Cid) -> Result<Bytes, Failure> {
        let given = self.get(&cid.to_string()).await?;
        if given.is_undefined() || given.is_null() {
            return Err(Failure::NotFound);
        }
        let bytes = given.dyn_into::<Uint8Array>().map_err(|_| Failure::Broken("it gave no Uint8Array".into()))?;
        if bytes.length() as usize > MAX_BLOCK_BYTES {
            return Err(Failure::Broken(format!("more than {MAX_BLOCK_BYTES} bytes")));
        }
        Ok(bytes.to_vec().into())
    }

    async fn car(&self, _: &Wanted) -> Result<Box<dyn Body>, Failure> {
        Err(Failure::Unsupported("it gives single blocks only".into()))
    }

    async fn probe(&self) -> Result<(), Failure> {
        match method(&self.object, "probe") {
            Some(probe) => self.call(&probe, None).await.map(drop),
            None => self.get(PROBE).await.map(drop),
        }
    }
}
