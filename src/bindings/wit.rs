//! The types of `wit/types.wit`: the vocabulary that the worlds of both WASI versions share.

#[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
mod world {
    wit_bindgen::generate!({ path: "wit", world: "vocabulary", generate_all, pub_export_macro: false });
}

pub use self::world::ipfs_kit::storage::types::*;
