//! The door for single blocks, as `npm/helia.js` needs it.

use bytes::Bytes;
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{Cancel, Engine, cancellable, promise};
use crate::{
    block::{self, Cid, Key},
    error::Error,
    platform::browser::buffers,
};

fn parsed(cids: Vec<String>) -> crate::Result<Vec<Cid>> {
    cids.iter().map(|cid| block::parse(cid)).collect()
}

#[wasm_bindgen]
impl Engine {
    /// Stores blocks in one commit; has its copies of them on return.
    #[wasm_bindgen(js_name = putBlocks)]
    pub fn put_blocks(&self, cids: Vec<String>, bytes: Array) -> Promise {
        let storage = self.storage.clone();
        let bytes: Vec<Bytes> = bytes.iter().map(|bytes| Uint8Array::new(&bytes).to_vec().into()).collect();
        promise(async move {
            let blocks = parsed(cids)?.into_iter().zip(bytes).collect();
            storage.put_blocks(blocks).await.map(|()| JsValue::UNDEFINED)
        })
    }

    /// A block's bytes.
    #[wasm_bindgen(js_name = getBlock)]
    pub fn get_block(&self, cid: String, offline: bool, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        cancellable(cancel, async move {
            let bytes = storage.get_block(&block::parse(&cid)?, offline).await?;
            // In the buffer that it came in, if nothing else lies there.
            let alone = |view: &Uint8Array| view.length() == view.buffer().byte_length();
            Ok(buffers::take(&bytes).filter(alone).unwrap_or_else(|| Uint8Array::from(bytes.as_ref())))
        })
    }

    /// Drops blocks that no root needs.
    #[wasm_bindgen(js_name = deleteBlocks)]
    pub fn delete_blocks(&self, cids: Vec<String>) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.delete_blocks(&parsed(cids)?).await.map(|()| JsValue::UNDEFINED) })
    }

    /// A page of multihashes of the blocks held.
    #[wasm_bindgen(js_name = blockKeys)]
    pub fn block_keys(&self, after: Option<Vec<u8>>, limit: u32) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            let invalid = |error| Error::InvalidArgument(format!("no multihash: {error}"));
            let after = after.map(|bytes| Key::from_bytes(&bytes).map_err(invalid)).transpose()?;
            let keys = storage.block_keys(after.as_ref(), limit as usize).await?;
            Ok(keys.iter().map(|key| Uint8Array::from(key.to_bytes().as_slice())).collect::<Array>())
        })
    }
}
