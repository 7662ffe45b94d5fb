//! Reading single blocks of archives, by their indexes.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    ops::Range,
    rc::Rc,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{bucket::Bucket, index_of};
use crate::{
    block::{self, Cid, Key},
    car::{CarDecoder, Index, Item, Place},
    platform::Clock,
    remote::Failure,
};

/// Longest index that is read: several times what one of 16,384 blocks takes.
const MAX_INDEX_BYTES: usize = 4 * 1024 * 1024;

/// So many indexes are remembered, for so many milliseconds: evidence is not older than that.
const REMEMBERED: usize = 4;
const FRESH: u64 = 60_000;

/// Blocks that lie one behind the other are read at once up to so many bytes, so many such runs at a time.
const RUN_BYTES: u64 = 4 * 1024 * 1024;
const RUNS_AT_ONCE: usize = 4;

type Sections = Rc<HashMap<Key, Range<u64>>>;

pub struct Reader {
    clock: Rc<dyn Clock>,
    /// Of these archives, and when they were read; the last one used comes first.
    indexes: RefCell<VecDeque<(String, u64, Sections)>>,
}

/// A block among those that are wanted, and where it lies.
struct Found {
    wanted: usize,
    archive: usize,
    range: Range<u64>,
}

impl Reader {
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        Reader { clock, indexes: RefCell::default() }
    }

    /// An archive is not what it was.
    pub fn forget(&self, archive: &str) {
        self.indexes.borrow_mut().retain(|(key, ..)| key != archive);
    }

    /// The bytes of these blocks, in order, of these archives, each with its length.
    pub async fn blocks(
        &self,
        bucket: &Bucket,
        archives: &[(String, u64)],
        cids: &[Cid],
    ) -> Result<Vec<Bytes>, Failure> {
        let found = self.find(bucket, archives, cids).await?;
        let runs = runs(found).into_iter().map(|run| async move {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Vec::new()) };
            let (key, _) = archives.get(first.archive).ok_or(Failure::NotFound)?;
            let start = first.range.start;
            let bytes = bucket.get(key, start..last.range.end).await?;
            let one = |found: &Found| {
                let within = (found.range.start - start) as usize..(found.range.end - start) as usize;
                let section = bytes.get(within).unwrap_or_default();
                let block =
                    body(section).ok_or_else(|| Failure::Lied(format!("{key} has no block where its index says")));
                Ok((found.wanted, block?))
            };
            run.iter().map(one).collect::<Result<Vec<_>, Failure>>()
        });
        let read: Vec<_> = stream::iter(runs).buffer_unordered(RUNS_AT_ONCE).try_collect().await?;
        let read: HashMap<usize, Bytes> = read.into_iter().flatten().collect();
        (0..cids.len()).map(|wanted| read.get(&wanted).cloned().ok_or(Failure::NotFound)).collect()
    }

    /// Where they lie. Whoever reads one after the other mostly goes on in the archive where the last one was.
    async fn find(&self, bucket: &Bucket, archives: &[(String, u64)], cids: &[Cid]) -> Result<Vec<Found>, Failure> {
        let mut missing: Vec<(usize, Key)> =
            cids.iter().enumerate().filter_map(|(wanted, cid)| Some((wanted, block::key(cid)?))).collect();
        let mut found = Vec::with_capacity(missing.len());
        let first = self.last_used(archives);
        for at in 0..archives.len() {
            if missing.is_empty() {
                break;
            }
            let archive = (first + at) % archives.len();
            let Some((key, bytes)) = archives.get(archive) else { break };
            let sections = self.sections(bucket, key, *bytes).await?;
            missing.retain(|(wanted, block)| match sections.get(block) {
                Some(range) => {
                    found.push(Found { wanted: *wanted, archive, range: range.clone() });
                    false
                }
                None => true,
            });
        }
        if missing.is_empty() { Ok(found) } else { Err(Failure::NotFound) }
    }

    fn last_used(&self, archives: &[(String, u64)]) -> usize {
        let indexes = self.indexes.borrow();
        let at = indexes.iter().find_map(|(key, ..)| archives.iter().position(|(archive, _)| archive == key));
        at.unwrap_or_default()
    }

    async fn sections(&self, bucket: &Bucket, archive: &str, bytes: u64) -> Result<Sections, Failure> {
        let now = self.clock.now();
        let known = {
            let mut indexes = self.indexes.borrow_mut();
            indexes.retain(|(_, read, _)| (*read..read.saturating_add(FRESH)).contains(&now));
            let at = indexes.iter().position(|(key, ..)| key == archive);
            at.and_then(|at| indexes.remove(at))
        };
        let entry = match known {
            Some(entry) => entry,
            None => {
                let index = bucket.get_all(&index_of(archive), MAX_INDEX_BYTES).await?;
                let index = Index::decode(&index).ok_or_else(|| Failure::Lied(format!("no index of {archive}")))?;
                (archive.to_owned(), now, Rc::new(index.sections(bytes)))
            }
        };
        let sections = entry.2.clone();
        let mut indexes = self.indexes.borrow_mut();
        indexes.push_front(entry);
        indexes.truncate(REMEMBERED);
        Ok(sections)
    }
}

/// Those that lie one behind the other together.
fn runs(mut found: Vec<Found>) -> Vec<Vec<Found>> {
    found.sort_unstable_by_key(|one| (one.archive, one.range.start));
    let mut runs: Vec<Vec<Found>> = Vec::new();
    for one in found {
        let run = runs.last_mut().filter(|run| {
            run.first().zip(run.last()).is_some_and(|(first, last)| {
                let beside = last.range.end == one.range.start || last.range == one.range;
                first.archive == one.archive && beside && one.range.end - first.range.start <= RUN_BYTES
            })
        });
        match run {
            Some(run) => run.push(one),
            None => runs.push(vec![one]),
        }
    }
    runs
}

/// The block's bytes in a section.
fn body(section: &[u8]) -> Option<Bytes> {
    let mut decoder = CarDecoder::at(Place::default());
    decoder.push(section);
    match decoder.next_item() {
        Ok(Some(Item::Block(_, bytes))) => Some(bytes),
        _ => None,
    }
}
