//! A component that cancels a call of the storage component: dropping the future of an import does that here, and nowhere in a
//! host.
#![cfg(target_family = "wasm")]

use std::pin::pin;

use futures_util::future::{Either, select};

wit_bindgen::generate!({
    path: ["../../../wit/p3", "."],
    world: "ipfs-kit:cancelling/cancelling",
    generate_all,
});

use ipfs_kit::{
    storage::types::{Error, OpenOptions, StoreOptions},
    storage_p3::storage::Handle,
};

struct Component;
export!(Component);

impl Guest for Component {
    async fn run(folder: String, bytes: u64) -> Result<(u64, u64, String), String> {
        cancelled(folder, bytes as usize).await.map_err(|error| format!("{error:?}"))
    }
}

async fn cancelled(folder: String, bytes: usize) -> Result<(u64, u64, String), Error> {
    let store = Handle::open(OpenOptions {
        directory: Some(folder),
        take_over: false,
        force_fallback: false,
        remotes: Vec::new(),
        remote_timeout: None,
        backends: Vec::new(),
        policy: None,
        layout: None,
        durability: None,
        verification: None,
    })
    .await?;
    let plain = || StoreOptions { filename: None, pin: true, layout: None, replicate: None };

    let (mut given, data) = wit_stream::new();
    {
        let storing = pin!(store.store(data, None, plain()));
        let giving = pin!(given.write_all((0..bytes).map(|n| (n % 251) as u8).collect()));
        match select(storing, giving).await {
            Either::Left(_) => return Err(Error::Io("it ended before the stream did".into())),
            Either::Right((left, _)) if !left.is_empty() => return Err(Error::Io("it did not take all".into())),
            // Here the call is dropped, and so cancelled, while it waits for more.
            Either::Right(_) => {}
        }
    }
    if given.write_all(vec![0]).await.is_empty() {
        return Err(Error::Io("somebody still reads".into()));
    }

    let status = store.backend_status().await?;
    let (mut given, data) = wit_stream::new();
    let (after, _) = futures_util::future::join(store.store(data, Some(5), plain()), async move {
        given.write_all(b"after".to_vec()).await;
    })
    .await;
    let after = after?.cid;
    Handle::close(store).await?;
    Ok((status.roots, status.blocks, after))
}
