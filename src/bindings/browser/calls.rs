//! Calls of functions that whoever opened the store gave.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

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

/// What a function gives for these arguments and `{ signal }`; or what it throws.
pub async fn call(function: &Function, this: &JsValue, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let mut call = Call { controller: AbortController::new(), ended: false };
    let options = Object::new();
    let settled = Reflect::set(&options, &"signal".into(), &call.controller.signal()).and_then(|_| {
        let arguments: Array = arguments.iter().chain([&JsValue::from(options)]).cloned().collect();
        function.apply(this, &arguments)
    });
    let done = match settled {
        Ok(value) => JsFuture::from(Promise::resolve(&value)).await,
        Err(thrown) => Err(thrown),
    };
    call.ended = true;
    done
}
