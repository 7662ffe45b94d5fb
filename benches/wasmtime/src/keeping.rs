//! A store of many blocks: `keeping-fill FOLDER BLOCKS` makes it with three quarters of them, in twelve files,
//! `keeping-litter FOLDER BLOCKS ROUND` adds a quarter of garbage, and `keeping FOLDER BLOCKS ROUND` measures.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::{
    host::{CollectionPhase, Durability, Host},
    print, seconds, splitmix, timed,
};

const BLOCK: usize = 1024;
/// Blocks handed over at a time.
const PIECE: u64 = 4096;
const FILES: u64 = 12;
const GETS: usize = 10_000;
const PUTS_RELAXED: u64 = 2_000;
const PUTS_STRICT: u64 = 300;
const OPENINGS: usize = 5;

/// Stores the files.
pub fn fill(folder: &Path, numbers: &[u64]) -> Result<()> {
    let &[blocks] = numbers else { bail!("how many blocks?") };
    let mut host = Host::open(folder, &name(blocks), Durability::Relaxed)?;
    for file in 0..FILES {
        let each = live(blocks) / FILES;
        host.write_blocks(BLOCK as u32, pieces(file * each, each))?;
    }
    let heap = host.heap();
    host.close()?;
    print(&[("heap", heap.to_string())]);
    Ok(())
}

/// Adds blocks that nothing reaches.
pub fn litter(folder: &Path, numbers: &[u64]) -> Result<()> {
    let &[blocks, round] = numbers else { bail!("how many blocks, and in which round?") };
    let host = Host::open(folder, &name(blocks), Durability::Relaxed)?;
    host.leave_blocks(BLOCK as u32, pieces((1 + round) << 32, blocks / 4))?;
    // Mends what the kill left, so that the next opening comes after a clean close.
    let mut host = Host::open(folder, &name(blocks), Durability::Relaxed)?;
    host.store(format!("after the kill of round {round}").as_bytes())?;
    host.close()
}

pub fn measure(folder: &Path, numbers: &[u64]) -> Result<()> {
    let &[blocks, round] = numbers else { bail!("how many blocks, and in which round?") };
    let store = name(blocks);
    // Also brings the files into the system's cache, from where gets are to be answered in small stores and large ones.
    let segments = files(folder, &store, "segment-")?;
    let read = timed(|| {
        Ok(for path in &segments {
            std::hint::black_box(fs::read(path)?);
        })
    })?;
    let mut openings = Vec::new();
    for _ in 0..OPENINGS {
        let host = Host::open(folder, &store, Durability::Relaxed)?;
        openings.push(host.opening);
        host.close()?;
    }
    let mut host = Host::open(folder, &store, Durability::Relaxed)?;
    host.cache_nothing()?;
    let held = host.blocks()?;
    let heap_open = host.heap();
    let gets = gets(&mut host, live(blocks))?;
    let heap_gets = host.heap();
    let verify = timed(|| host.verify())?;
    host.close()?;
    let replay = open_without_index(folder, &store)?;

    let mut host = Host::open(folder, &store, Durability::Relaxed)?;
    let relaxed = puts(&mut host, (1 + round) << 40, PUTS_RELAXED)?;
    let heap_puts = host.heap();
    host.close()?;
    let mut host = Host::open(folder, &store, Durability::Strict)?;
    let strict = puts(&mut host, (1 + round) << 48, PUTS_STRICT)?;
    host.close()?;
    let index = files(folder, &store, "index-")?
        .iter()
        .map(|path| Ok(fs::metadata(path)?.len()))
        .collect::<Result<Vec<_>>>()?;

    let mut host = Host::open(folder, &store, Durability::Relaxed)?;
    let examined = host.blocks()?;
    let mut steps = Steps::default();
    let report = host.collect(|phase, took| steps.add(phase, took))?;
    ensure!(report.obstacles.is_empty() && !report.postponed, "nothing stands in the way: {report:?}");
    ensure!(report.freed_blocks >= blocks / 4, "garbage goes: {report:?}");
    let heap_collect = host.heap();
    host.close()?;

    let mut figures = vec![
        ("blocks".into(), held.to_string()),
        ("open".into(), seconds(median(&mut openings))),
        ("verify".into(), seconds(verify)),
        ("read".into(), seconds(read)),
        ("replay".into(), seconds(replay)),
        ("heapOpen".into(), heap_open.to_string()),
        ("heapGets".into(), heap_gets.to_string()),
        ("heapPuts".into(), heap_puts.to_string()),
        ("heapCollect".into(), heap_collect.to_string()),
        ("index".into(), index.iter().max().copied().unwrap_or_default().to_string()),
        ("examined".into(), examined.to_string()),
        ("freed".into(), report.freed_blocks.to_string()),
        ("givenBack".into(), report.given_back.to_string()),
    ];
    for (name, mut times) in [("get", gets), ("put", relaxed), ("putStrict", strict)] {
        figures.push((name.into(), seconds(median(&mut times))));
        figures.push((format!("{name}P99"), seconds(times[times.len() * 99 / 100])));
        figures.push((format!("{name}Longest"), seconds(times[times.len() - 1])));
    }
    steps.tell(&mut figures);
    print(&figures);
    Ok(())
}

/// Gets blocks at random, each by its own CID.
fn gets(host: &mut Host, live: u64) -> Result<Vec<Duration>> {
    let mut random = 3;
    let mut get = || {
        let number = splitmix(&mut random) % live;
        let cid = cid(&block(number));
        let start = Instant::now();
        let bytes = host.retrieve(&cid)?;
        let took = start.elapsed();
        ensure!(bytes == block(number), "another block came");
        Ok(took)
    };
    for _ in 0..GETS / 10 {
        get()?;
    }
    (0..GETS).map(|_| get()).collect()
}

/// Stores files of one block each.
fn puts(host: &mut Host, from: u64, count: u64) -> Result<Vec<Duration>> {
    (from..from + count).map(|number| block(number)).map(|data| timed(|| host.store(&data))).collect()
}

/// What opening takes when it has to look at all of the log. It changes nothing, so that the index is right afterwards.
fn open_without_index(folder: &Path, store: &str) -> Result<Duration> {
    let aside = folder.join("aside");
    fs::create_dir_all(&aside)?;
    let index = files(folder, store, "index-")?;
    for path in &index {
        fs::rename(path, aside.join(path.file_name().unwrap_or_default()))?;
    }
    let host = Host::open(folder, store, Durability::Relaxed)?;
    let opening = host.opening;
    drop(host);
    for path in &index {
        fs::rename(aside.join(path.file_name().unwrap_or_default()), path)?;
    }
    Ok(opening)
}

/// The steps of a collection, by phase.
#[derive(Default)]
struct Steps {
    phases: [Vec<Duration>; 3],
}

impl Steps {
    fn add(&mut self, phase: CollectionPhase, took: Duration) {
        let [mark, sweep, compact] = &mut self.phases;
        match phase {
            CollectionPhase::Marking => mark.push(took),
            CollectionPhase::Sweeping => sweep.push(took),
            CollectionPhase::Compacting => compact.push(took),
        }
    }

    fn tell(self, figures: &mut Vec<(String, String)>) {
        let mut all = Vec::new();
        for (name, times) in ["mark", "sweep", "compact"].into_iter().zip(&self.phases) {
            figures.push((name.into(), seconds(times.iter().sum())));
            figures.push((format!("{name}Longest"), seconds(times.iter().max().copied().unwrap_or_default())));
            all.extend(times);
        }
        figures.push(("collect".into(), seconds(all.iter().sum())));
        figures.push(("steps".into(), all.len().to_string()));
        figures.push(("step".into(), seconds(median(&mut all))));
        figures.push(("stepLongest".into(), seconds(all[all.len() - 1])));
    }
}

fn name(blocks: u64) -> String {
    format!("keeping-{blocks}")
}

/// Blocks that are no garbage.
fn live(blocks: u64) -> u64 {
    blocks / 4 * 3 / FILES * FILES
}

/// The files of a store whose names begin so.
fn files(folder: &Path, store: &str, prefix: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder.join("stores").join(store))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    Ok(paths)
}

/// The blocks from `first` on, in pieces; an empty one at the end.
fn pieces(first: u64, count: u64) -> impl FnMut() -> Result<Vec<u8>> {
    let (mut next, end) = (first, first + count);
    move || {
        let from = next;
        next = end.min(from + PIECE);
        Ok((from..next).flat_map(block).collect())
    }
}

/// The bytes of one block, as no other has them.
fn block(number: u64) -> Vec<u8> {
    let mut random = number.wrapping_mul(0xd134_2543_de82_ef95);
    (0..BLOCK / 8).flat_map(|_| splitmix(&mut random).to_le_bytes()).collect()
}

/// The CID of a raw block: base32 of version 1, codec raw, and the SHA-256.
fn cid(bytes: &[u8]) -> String {
    let binary = [&[1, 0x55, 0x12, 32], Sha256::digest(bytes).as_slice()].concat();
    let mut text = String::from("b");
    for five in binary.chunks(5) {
        let bits = five.iter().enumerate().fold(0u64, |bits, (at, byte)| bits | u64::from(*byte) << (32 - 8 * at));
        for digit in 0..(five.len() * 8).div_ceil(5) {
            text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (35 - 5 * digit)) as usize & 31]));
        }
    }
    text
}

/// Sorts them.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
