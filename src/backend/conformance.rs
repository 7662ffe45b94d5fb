//! What every backend must do. Each implementation's tests call [`all`].
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::HashMap, rc::Rc};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;

use super::{Backend, Feed, Next, Step, Trouble};
use crate::{
    block::{self, Block, Cid, Codec, MAX_BLOCK_BYTES},
    dag::{
        self,
        pb::{Link, Node},
    },
    error::{Error, Result as Outcome},
    hash::{CpuHasher, Digest, HashFunction, IDENTITY_CODE},
    platform::Network,
    remote::Failure,
    tier::conformance::noise,
    unixfs::{BlockSource, Data, Kind},
};

pub struct Fixture {
    pub backend: Rc<dyn Backend>,
    /// For what it is at work on.
    pub network: Rc<dyn Network>,
    /// Whether what was removed cannot be read any more. Nodes keep it until their collector comes.
    pub removes_at_once: bool,
    /// Told when something was sent, for backends whose far end a test must move along.
    pub after_step: Box<dyn Fn(&Step)>,
}

/// A DAG, and what of it has been read.
pub struct Sample {
    pub root: Cid,
    blocks: HashMap<Cid, Block>,
    /// In the order in which they are given, each once.
    pub order: Vec<Cid>,
}

#[async_trait(?Send)]
impl BlockSource for Sample {
    async fn blocks(&self, cids: &[Cid]) -> Outcome<Vec<Block>> {
        cids.iter().map(|cid| self.blocks.get(cid).cloned().ok_or_else(|| Error::NotFound(cid.into()))).collect()
    }
}

/// Runs every case.
pub async fn all(fixture: &Fixture) {
    let backend = fixture.backend.as_ref();
    let name = backend.name().to_owned();
    assert!(!name.is_empty() && !name.contains(char::is_whitespace) && !backend.kind().is_empty());
    assert_eq!(backend.probe().await, Ok(()));
    let (large, other) = (Rc::new(tree(1, 40, 100_000).await), Rc::new(tree(2, 3, 1_000).await));
    unknown(fixture, &large).await;
    let state = whole(fixture, &large).await;
    resumed(fixture, &other).await;
    repeated(fixture, &Rc::new(tree(3, 60, 50_000).await)).await;
    removed(fixture, &large, &other, &state).await;
    for sample in [leaf(4, 0).await, leaf(5, 1).await, leaf(6, MAX_BLOCK_BYTES).await, inlining().await] {
        let sample = Rc::new(sample);
        let state = whole(fixture, &sample).await;
        backend.remove(&sample.root, &state).await.unwrap();
    }
    assert_eq!(backend.name(), name);
}

/// What it was never given it has not got.
async fn unknown(fixture: &Fixture, sample: &Rc<Sample>) {
    let absent = leaf(99, 100).await.root;
    let state = whole(fixture, sample).await;
    let read = fixture.backend.blocks(&sample.root, &state, std::slice::from_ref(&absent)).await;
    assert_eq!(read, Err(Failure::NotFound));
    let both = [sample.root.clone(), absent];
    assert_eq!(fixture.backend.blocks(&sample.root, &state, &both).await, Err(Failure::NotFound));
}

/// All of it can be read back, in any order and more than once.
pub async fn whole(fixture: &Fixture, sample: &Rc<Sample>) -> Bytes {
    let mut feed = Feed::new(sample.clone(), sample.root.clone());
    let (mut state, mut sent) = (None, 0);
    let state = loop {
        let step = step(fixture, &mut feed, state.as_ref()).await;
        sent += step.sent;
        match step.next {
            Next::Stored => break step.state,
            Next::Wait(wait) => fixture.network.sleep(wait.min(200)).await,
            Next::More => {}
        }
        state = Some(step.state);
    };
    let bytes: usize = sample.blocks.values().map(|block| block.bytes().len()).sum();
    assert!(sent >= bytes as u64, "{sent} bytes sent of {bytes}");
    holds(fixture, sample, &state).await;
    state
}

async fn holds(fixture: &Fixture, sample: &Sample, state: &Bytes) {
    let mut asked = sample.order.clone();
    asked.reverse();
    asked.extend(sample.order.first().cloned());
    for cids in [&asked[..], &asked[asked.len() - 1..], &[]] {
        let read = fixture.backend.blocks(&sample.root, state, cids).await.unwrap();
        let expected: Vec<Bytes> = cids.iter().map(|cid| sample.blocks[cid].bytes().clone()).collect();
        assert!(read == expected, "{} blocks of {}", cids.len(), sample.root);
    }
}

async fn step(fixture: &Fixture, feed: &mut Feed, state: Option<&Bytes>) -> Step {
    let step = fixture.backend.put(feed, state).await.unwrap_or_else(|trouble| panic!("{trouble:?}"));
    (fixture.after_step)(&step);
    step
}

/// Whoever is begun anew after each step goes on with the state alone.
pub async fn resumed(fixture: &Fixture, sample: &Rc<Sample>) {
    let mut state = None;
    loop {
        let mut feed = Feed::new(sample.clone(), sample.root.clone());
        let step = step(fixture, &mut feed, state.as_ref()).await;
        match step.next {
            Next::Stored => return holds(fixture, sample, &step.state).await,
            Next::Wait(wait) => fixture.network.sleep(wait.min(200)).await,
            Next::More => {}
        }
        state = Some(step.state);
    }
}

/// A step whose outcome nobody has heard of is taken again; and all of it once more is no harm.
pub async fn repeated(fixture: &Fixture, sample: &Rc<Sample>) {
    for _ in 0..2 {
        let mut state: Option<Bytes> = None;
        loop {
            let mut lost = Feed::new(sample.clone(), sample.root.clone());
            // It may say that it cannot be done again; then nothing is broken by that.
            let first = fixture.backend.put(&mut lost, state.as_ref()).await;
            assert!(!matches!(first, Err(Trouble::Here(_))), "{first:?}");
            let mut feed = Feed::new(sample.clone(), sample.root.clone());
            let step = match fixture.backend.put(&mut feed, state.as_ref()).await {
                Ok(step) => step,
                // What it knew of it is gone: it is given all of it anew.
                Err(Trouble::There(Failure::NotFound)) => {
                    state = None;
                    continue;
                }
                Err(trouble) => panic!("{trouble:?}"),
            };
            (fixture.after_step)(&step);
            match step.next {
                Next::Stored => break holds(fixture, sample, &step.state).await,
                Next::Wait(wait) => fixture.network.sleep(wait.min(200)).await,
                Next::More => {}
            }
            state = Some(step.state);
        }
    }
}

/// A copy that is removed takes nothing of another along; it can be removed again, and put again.
async fn removed(fixture: &Fixture, gone: &Rc<Sample>, other: &Rc<Sample>, state: &Bytes) {
    let backend = fixture.backend.as_ref();
    let kept = whole(fixture, other).await;
    for _ in 0..2 {
        assert_eq!(backend.remove(&gone.root, state).await, Ok(()));
    }
    if fixture.removes_at_once {
        assert_eq!(backend.blocks(&gone.root, state, &gone.order[..1]).await, Err(Failure::NotFound));
    }
    holds(fixture, other, &kept).await;
    // One that had only begun.
    let mut feed = Feed::new(gone.clone(), gone.root.clone());
    let begun = step(fixture, &mut feed, None).await;
    assert_eq!(backend.remove(&gone.root, &begun.state).await, Ok(()));
    // Nobody knows of it at all.
    assert_eq!(backend.remove(&leaf(98, 10).await.root, &Bytes::new()).await, Ok(()));
    let again = whole(fixture, gone).await;
    assert_eq!(backend.remove(&gone.root, &again).await, Ok(()));
}

async fn make(codec: Codec, bytes: Vec<u8>) -> Block {
    let made = Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, vec![bytes.into()]).await;
    made.unwrap().pop().unwrap()
}

async fn node(below: &[Cid]) -> Block {
    let links = below.iter().enumerate().map(|(at, cid)| Link {
        cid: cid.clone(),
        name: Some(format!("{at:05}")),
        tsize: Some(1),
    });
    let data = Some(Data::new(Kind::Directory).encode().into());
    make(Codec::DagPb, Node { links: links.collect(), data }.encode()).await
}

async fn sample(root: Block, others: Vec<Block>) -> Sample {
    let (mut blocks, cid) = (HashMap::from([(root.cid().clone(), root.clone())]), root.cid().clone());
    blocks.extend(others.into_iter().map(|block| (block.cid().clone(), block)));
    let (mut order, mut stack) = (Vec::new(), vec![cid.clone()]);
    while let Some(next) = stack.pop() {
        if block::key(&next).is_none() {
            stack.extend(dag::links(&Block::inline(next).unwrap()).unwrap().into_iter().rev());
        } else if !order.contains(&next) {
            stack.extend(dag::links(&blocks[&next]).unwrap().into_iter().rev());
            order.push(next);
        }
    }
    assert_eq!(order.len(), blocks.len());
    Sample { root: cid, blocks, order }
}

/// Directories of directories, with so many leaves of so many bytes at most; the same for the same seed. One leaf is in all of
/// those that [`tree`] makes, and comes twice.
pub async fn tree(seed: u64, leaves: usize, bytes: usize) -> Sample {
    let shared = make(Codec::Raw, b"in every tree".to_vec()).await;
    let mut all = vec![shared.clone()];
    let mut nodes = Vec::new();
    for chunk in (0..leaves).collect::<Vec<_>>().chunks(7) {
        let mut below = vec![shared.cid().clone()];
        for leaf in chunk {
            let block = make(Codec::Raw, noise(seed * 1_000 + *leaf as u64, bytes - leaf)).await;
            below.push(block.cid().clone());
            all.push(block);
        }
        let node = node(&below).await;
        nodes.push(node.cid().clone());
        all.push(node);
    }
    nodes.push(shared.cid().clone());
    sample(node(&nodes).await, all).await
}

/// One block.
pub async fn leaf(seed: u64, bytes: usize) -> Sample {
    sample(make(Codec::Raw, noise(seed, bytes)).await, Vec::new()).await
}

/// A node that links to a block that its CID carries in itself.
async fn inlining() -> Sample {
    let inline = block::new_cid(Version::V1, Codec::Raw, Digest::wrap(IDENTITY_CODE, b"inline").unwrap());
    let leaf = make(Codec::Raw, b"beside it".to_vec()).await;
    sample(node(&[inline, leaf.cid().clone()]).await, vec![leaf]).await
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    /// Reads note what they ask for.
    struct Noted(Sample, std::cell::RefCell<Vec<Cid>>);

    #[async_trait(?Send)]
    impl BlockSource for Noted {
        async fn blocks(&self, cids: &[Cid]) -> Outcome<Vec<Block>> {
            self.1.borrow_mut().extend_from_slice(cids);
            self.0.blocks(cids).await
        }
    }

    #[test]
    fn a_feed_gives_each_block_once_from_any_place_on() {
        block_on(async {
            let sample = tree(7, 30, 100).await;
            let (order, root) = (sample.order.clone(), sample.root.clone());
            let noted = Rc::new(Noted(sample, Default::default()));
            for place in [0, 1, 2, 9, order.len() - 1, order.len(), order.len() + 5] {
                noted.1.take();
                let mut feed = Feed::new(noted.clone(), root.clone());
                feed.seek(place as u64).await.unwrap();
                let leaves = noted.1.borrow().iter().filter(|cid| dag::is_leaf(cid)).count();
                assert_eq!(leaves, 0, "leaves were read that nobody wants");
                let mut given = Vec::new();
                while let Some(block) = feed.next().await.unwrap() {
                    given.push(block.cid().clone());
                }
                assert_eq!(given, order.get(place..).unwrap_or_default(), "from {place}");
                assert_eq!(feed.place(), order.len() as u64);
                // And back again.
                feed.seek(3).await.unwrap();
                assert_eq!(feed.next().await.unwrap().unwrap().cid(), &order[3]);
            }
        });
    }
}
