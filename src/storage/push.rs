//! Giving what is stored here to a remote.

use std::{collections::HashSet, mem, rc::Rc};

use super::{Storage, fetch, sweep};
use crate::{
    block::{Block, Cid},
    dag,
    error::{Error, Result},
    unixfs::BlockSource,
};

/// Most bytes of blocks that go out together: a slow link sends so many well before it counts as silent. A block has no more.
const BATCH_BYTES: u64 = 2 * 1024 * 1024;

/// Leaves read at once.
const LEAVES_AHEAD: usize = 8;

/// Told after each batch that the remote has taken.
pub type OnPushed = Rc<dyn Fn(&Pushed)>;

/// How to push.
#[derive(Clone, Default)]
pub struct PushOptions {
    /// Whether the remote is to pin it. Then it has said that it holds all of it, too.
    pub pin: bool,
    /// Told of what has gone out.
    pub on_pushed: Option<OnPushed>,
}

/// What a remote has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Blocks of the DAG, each once.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Storage {
    /// Gives the DAG below `cid` to the remote of this name. What of it is not held here is fetched first.
    pub async fn push(&self, cid: &Cid, remote: &str, options: PushOptions) -> Result<Pushed> {
        let shared = &self.shared;
        let remotes =
            shared.remotes(false).map_err(|reason| Error::NotAvailableOffline { cid: cid.clone(), reason })?;
        let to = remotes.named(remote).ok_or_else(|| {
            Error::InvalidArgument(format!("{remote:?} is none of this store's remotes: {remotes:?}"))
        })?;
        // Nothing of it is to go while it is being given.
        let open = sweep::enter(shared).await?;
        let source = shared.source(cid.into(), None, false, None);
        let mut pushed = Pushed::default();
        let (mut batch, mut bytes) = (Vec::<Block>::new(), 0);
        let mut seen = HashSet::from([cid.clone()]);
        let mut stack = vec![cid.clone()];
        let mut send = async |batch: Vec<Block>, bytes: u64| {
            let blocks = batch.len() as u64;
            remotes.put(&to, batch).await.map_err(|attempt| fetch::unavailable(cid.clone(), &[attempt]))?;
            pushed.blocks += blocks;
            pushed.bytes += bytes;
            options.on_pushed.iter().for_each(|tell| tell(&pushed));
            Ok::<(), Error>(())
        };
        while !stack.is_empty() {
            let next = stack.split_off(stack.len().saturating_sub(LEAVES_AHEAD));
            for block in source.blocks(&next).await? {
                // What cannot be walked is not given by halves.
                let below = dag::links(&block)?;
                stack.extend(below.into_iter().filter(|cid| seen.insert(cid.clone())));
                let length = block.bytes().len() as u64;
                if bytes + length > BATCH_BYTES {
                    send(mem::take(&mut batch), mem::take(&mut bytes)).await?;
                }
                bytes += length;
                batch.push(block);
            }
        }
        send(batch, bytes).await?;
        if options.pin {
            remotes.pin(&to, cid.clone()).await.map_err(|attempt| fetch::unavailable(cid.clone(), &[attempt]))?;
        }
        sweep::leave(open).await;
        Ok(pushed)
    }
}
