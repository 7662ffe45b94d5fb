//! The component for WASI 0.3 as a plugin: calls that wait, any number of them at once, and streams.

use std::{
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::stream::BoxStream;
use tokio::sync::oneshot;
use wasmtime::{
    Store, StoreContextMut,
    component::{
        Accessor, Destination, FutureConsumer, FutureReader, Linker, ResourceAny, Source, StreamConsumer,
        StreamProducer, StreamReader, StreamResult, VecBuffer,
    },
};
use wasmtime_wasi::runtime::in_tokio;

use crate::{
    Artefact, Host, engine,
    plugin::{STORE, TRAP, context},
    types::{
        CollectionReport, Error, FileInfo, OpenOptions, PinInfo, PinOptions, ReadOptions, Status, StoreOptions,
        VerifyOptions, VerifyReport,
    },
};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/p3",
        world: "local",
        with: {
            "wasi": wasmtime_wasi::p3::bindings,
            "ipfs-kit:storage/types": crate::bindings::ipfs_kit::storage::types,
        },
        require_store_data_send: true,
    });
}

use bindings::{
    Local,
    exports::ipfs_kit::storage_p3::storage::{Content, GuestHandle, Listing},
};

mod cancelling {
    wasmtime::component::bindgen!({
        inline: "
            package ipfs-kit:host;
            world cancelling {
                export run: async func(folder: string, bytes: u64) -> result<tuple<u64, u64, string>, string>;
            }
        ",
        require_store_data_send: true,
    });
}

/// Runs the component that begins to store so many bytes in this folder, and cancels that call when all are taken. Returns how
/// many roots and blocks there are then, and the CID of a file that it stores after that.
pub fn cancel_while_storing(folder: &Path, bytes: u64) -> (u64, u64, String) {
    in_tokio(async {
        let mut store: Store<Host> = Host::store(context(folder, &[]));
        let component = Artefact::Cancelling.component();
        let guest = cancelling::Cancelling::instantiate_async(&mut store, component, &linker()).await;
        let guest = guest.expect("the host has all it imports");
        let run = store.run_concurrent(async |accessor| guest.call_run(accessor, STORE.into(), bytes).await);
        run.await.expect(TRAP).expect(TRAP).expect("it does as it says")
    })
}

fn linker() -> Linker<Host> {
    let mut linker = Linker::new(engine());
    wasmtime_wasi::p3::add_to_linker(&mut linker).expect("nothing is linked twice");
    linker
}

/// One open store, to be called by as many as like.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    accessor: &'a Accessor<Host>,
    local: &'a Local,
    handle: ResourceAny,
}

/// Opens a store in this folder of the host, has it used and closes it. Returns what came of that, and the most linear memory
/// that the instance had, in bytes.
pub fn with_waiting<T>(
    folder: &Path,
    options: &OpenOptions,
    call: impl AsyncFnOnce(Waiting<'_>) -> T,
) -> Result<(T, usize), Error> {
    in_tokio(async {
        let mut store: Store<Host> = Host::store(context(folder, &[]));
        let component = Artefact::Waiting.component();
        let local =
            Local::instantiate_async(&mut store, component, &linker()).await.expect("the host has all it imports");
        let done = store
            .run_concurrent(async |accessor| {
                let guest = local.ipfs_kit_storage_p3_storage().handle();
                let handle = guest.call_open(accessor, options.clone()).await.expect(TRAP)?;
                let done = call(Waiting { accessor, local: &local, handle }).await;
                guest.call_close(accessor, handle).await.expect(TRAP)?;
                Ok(done)
            })
            .await
            .expect(TRAP)?;
        Ok((done, store.data().peak_memory()))
    })
}

impl Waiting<'_> {
    fn guest(&self) -> GuestHandle<'_> {
        self.local.ipfs_kit_storage_p3_storage().handle()
    }

    /// Stores what a stream of pieces gives.
    pub async fn store(
        &self,
        pieces: BoxStream<'static, Vec<u8>>,
        size: Option<u64>,
        options: &StoreOptions,
    ) -> Result<FileInfo, Error> {
        let data = self.accessor.with(|access| StreamReader::new(access, Pieces(pieces))).expect(TRAP);
        self.guest().call_store(self.accessor, self.handle, data, size, options.clone()).await.expect(TRAP)
    }

    /// Stores many small files.
    pub async fn store_many(&self, files: &[(Vec<u8>, StoreOptions)]) -> Result<Vec<FileInfo>, Error> {
        self.guest().call_store_many(self.accessor, self.handle, files.to_vec()).await.expect(TRAP)
    }

    /// Hands a file to `take`, until that has enough; returns the size of the whole file, and how reading it ended.
    pub async fn retrieve(
        &self,
        path: &str,
        options: ReadOptions,
        take: impl FnMut(&[u8]) -> Enough + Send + Unpin + 'static,
    ) -> Result<(u64, Result<(), Error>), Error> {
        let content = self.guest().call_retrieve(self.accessor, self.handle, path.into(), options).await.expect(TRAP);
        let Content { size, data, done } = content?;
        self.accessor.with(|access| data.pipe(access, Taking(take))).expect(TRAP);
        Ok((size, self.outcome(done).await))
    }

    /// All that a listing has, and how it ended.
    pub async fn list(&self, path: &str) -> Result<(Vec<FileInfo>, Result<(), Error>), Error> {
        let listing = self.guest().call_list_files(self.accessor, self.handle, path.into()).await.expect(TRAP);
        let Listing { entries, done } = listing?;
        let (sender, receiver) = oneshot::channel();
        self.accessor.with(|access| entries.pipe(access, Listed(Vec::new(), Some(sender)))).expect(TRAP);
        Ok((receiver.await.expect("it comes to an end"), self.outcome(done).await))
    }

    async fn outcome(&self, done: FutureReader<Result<(), Error>>) -> Result<(), Error> {
        let (sender, receiver) = oneshot::channel();
        self.accessor.with(|access| done.pipe(access, Outcome(Some(sender)))).expect(TRAP);
        receiver.await.expect("it comes to an end")
    }
}

/// The verbs without streams. Those `of` something take its CID, or a path, first.
macro_rules! verbs {
    ($(fn $verb:ident($($name:ident: $type:ty),*) $(of $of:ident)? -> $result:ty = $call:ident;)*) => {
        #[allow(missing_docs)]
        impl Waiting<'_> {$(
            pub async fn $verb(&self, $($of: &str,)? $($name: $type),*) -> $result {
                self.guest().$call(self.accessor, self.handle, $($of.to_owned(),)? $($name),*).await.expect(TRAP)
            }
        )*}
    };
}

verbs! {
    fn stat() of path -> Result<FileInfo, Error> = call_stat;
    fn exists() of cid -> Result<bool, Error> = call_exists;
    fn delete(force: bool) of cid -> Result<(), Error> = call_delete;
    fn pin(options: PinOptions) of cid -> Result<PinInfo, Error> = call_pin;
    fn unpin() of cid -> Result<(), Error> = call_unpin;
    fn backend_status() -> Result<Status, Error> = call_backend_status;
    fn collect(dry_run: bool) -> Result<CollectionReport, Error> = call_collect;
    fn verify(options: VerifyOptions) -> Result<VerifyReport, Error> = call_verify;
}

/// Whether somebody who reads has read enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enough {
    /// More, please.
    NotYet,
    /// The stream is dropped.
    Yes,
}

/// What a host gives: a piece when it has one.
struct Pieces(BoxStream<'static, Vec<u8>>);

impl StreamProducer<Host> for Pieces {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _: StoreContextMut<'a, Host>,
        mut destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.0.as_mut().poll_next(context) {
            Poll::Ready(Some(piece)) => {
                destination.set_buffer(piece.into());
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What a host takes.
struct Taking<F>(F);

impl<F: FnMut(&[u8]) -> Enough + Send + Unpin + 'static> StreamConsumer<Host> for Taking<F> {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, Host>,
        source: Source<'_, u8>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let (count, enough) = (bytes.len(), (self.0)(bytes));
        source.mark_read(count);
        Poll::Ready(Ok(if enough == Enough::Yes { StreamResult::Dropped } else { StreamResult::Completed }))
    }
}

/// Entries, which go to somebody when there are no more.
struct Listed(Vec<FileInfo>, Option<oneshot::Sender<Vec<FileInfo>>>);

impl StreamConsumer<Host> for Listed {
    type Item = FileInfo;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, Host>,
        mut source: Source<'_, FileInfo>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let count = source.remaining(&mut store);
        self.0.reserve(count);
        source.read(store, &mut self.0)?;
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let sender = self.1.take().expect("it is dropped once");
        let _ = sender.send(std::mem::take(&mut self.0));
    }
}

/// How something ended, for somebody who waits for it.
struct Outcome(Option<oneshot::Sender<Result<(), Error>>>);

impl FutureConsumer<Host> for Outcome {
    type Item = Result<(), Error>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, Host>,
        mut source: Source<'_, Result<(), Error>>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut outcome = None;
        source.read(store, &mut outcome)?;
        let sender = self.0.take().expect("it ends once");
        let _ = sender.send(outcome.expect("it has come"));
        Poll::Ready(Ok(()))
    }
}
