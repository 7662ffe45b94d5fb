//! Ending calls that nobody waits for any more, with the requests that they have under way.

use std::cell::RefCell;

use futures_channel::oneshot;
use futures_util::future::{self, Either, FutureExt, Shared};
use wasm_bindgen::prelude::*;

use super::Call;
use crate::error::{Error, Result};

/// Ends the calls it was given to.
#[wasm_bindgen]
pub struct Cancel {
    sender: RefCell<Option<oneshot::Sender<()>>>,
    cancelled: Shared<oneshot::Receiver<()>>,
}

#[wasm_bindgen]
impl Cancel {
    /// One that has ended nothing yet.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Cancel {
        let (sender, receiver) = oneshot::channel();
        Cancel { sender: RefCell::new(Some(sender)), cancelled: receiver.shared() }
    }

    /// Ends them, and those that are begun with it later.
    pub fn cancel(&self) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(());
        }
    }
}

impl Cancel {
    /// A call that this ends. The call does not keep this alive: one that is collected ends nothing.
    pub fn ends(&self, call: Call) -> impl Future<Output = Result<JsValue>> + use<> {
        let cancelled = self.cancelled.clone();
        async move {
            let cancelled = async move {
                if cancelled.await.is_err() {
                    future::pending::<()>().await;
                }
            };
            match future::select(Box::pin(cancelled), call).await {
                Either::Left(_) => Err(Error::Cancelled),
                Either::Right((done, _)) => done,
            }
        }
    }
}
