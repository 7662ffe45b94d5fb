//! The browser's network: `fetch`, timers, and whether there is a connection.

use async_trait::async_trait;
use bytes::Bytes;
use js_sys::{Array, JsString, Uint8Array};
use wasm_bindgen::prelude::*;

use super::message;
use crate::{
    platform::{
        Network,
        http::{Body, Http, Request, Response},
    },
    remote::Failure,
};

#[wasm_bindgen(module = "/src/platform/browser/fetch.js")]
extern "C" {
    type Exchange;

    #[wasm_bindgen(constructor)]
    fn new() -> Exchange;

    #[wasm_bindgen(method, catch)]
    async fn send(this: &Exchange, method: &str, url: &str, headers: Array, body: JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn next(this: &Exchange) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn end(this: &Exchange);

    type Timer;

    #[wasm_bindgen(constructor)]
    fn new(milliseconds: f64) -> Timer;

    #[wasm_bindgen(method)]
    async fn done(this: &Timer);

    #[wasm_bindgen(method, js_name = end)]
    fn clear(this: &Timer);

    #[wasm_bindgen(js_name = isOnline)]
    fn is_online() -> bool;
}

/// The browser's `fetch`. It follows redirects itself and shows none of them, so that those that lead inward cannot be refused
/// here.
#[derive(Debug, Default, Clone, Copy)]
pub struct BrowserHttp;

/// The browser's timers and connection.
#[derive(Debug, Default, Clone, Copy)]
pub struct BrowserNetwork;

/// Ends the exchange when nobody waits for it any more.
struct Open(Exchange);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Waiting(Timer);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.clear();
    }
}

fn unreachable(error: &JsValue) -> Failure {
    Failure::Unreachable(message(error))
}

#[async_trait(?Send)]
impl Http for BrowserHttp {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let headers = Array::new();
        for (name, value) in &request.headers {
            headers.push(&JsString::from(*name));
            headers.push(&JsString::from(value.as_str()));
        }
        let body = request.body.map_or(JsValue::UNDEFINED, |body| Uint8Array::from(body.as_ref()).into());
        let open = Open(Exchange::new());
        let head = open
            .0
            .send(request.method.name(), &request.url, headers, body)
            .await
            .map_err(|error| unreachable(&error))?;
        let head = Array::from(&head);
        let mut head = head.iter();
        let status = head.next().and_then(|status| status.as_f64()).unwrap_or_default() as u16;
        let mut headers = Vec::new();
        while let (Some(name), Some(value)) = (head.next(), head.next()) {
            headers.push((name.as_string().unwrap_or_default(), value.as_string().unwrap_or_default()));
        }
        // It counts what came compressed, which a page cannot see; `fetch` itself fails where the body is cut.
        headers.retain(|(name, _)| name != "content-length");
        Ok(Response { status, headers, body: Box::new(open) })
    }
}

#[async_trait(?Send)]
impl Body for Open {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let piece = self.0.next().await.map_err(|error| unreachable(&error))?;
        Ok(piece.dyn_into::<Uint8Array>().ok().map(|piece| piece.to_vec().into()))
    }
}

#[async_trait(?Send)]
impl Network for BrowserNetwork {
    async fn sleep(&self, milliseconds: u64) {
        let waiting = Waiting(Timer::new(milliseconds as f64));
        waiting.0.done().await;
    }

    fn is_online(&self) -> bool {
        is_online()
    }
}
