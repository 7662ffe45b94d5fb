//! The component in a Rust host, for `../wasi.mjs`: measures one subject and prints what it found as JSON.
//!
//! `bench-wasmtime SUBJECT FOLDER [NUMBER…]`: FOLDER holds the component, compiled by the subject `compile`, and the test data;
//! what is written goes there, too.

mod host;
mod keeping;
mod trees;

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use host::{Durability, Host, Profile};
use sha2::{Digest, Sha256};

const MIB: usize = 1 << 20;
/// What the host hands over, and asks for, at a time.
const PIECE: usize = 4 * MIB;
/// Files in one `store-many`.
const BATCH: usize = 500;
const RANGE: u64 = 64 * 1024;
const RANGES: u64 = 200;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(subject), Some(folder)) = (arguments.next(), arguments.next()) else {
        bail!("usage: bench-wasmtime SUBJECT FOLDER")
    };
    let folder = PathBuf::from(folder);
    match subject.as_str() {
        "compile" => host::compile(&folder),
        "limits" => limits(&folder),
        "large" => large(&folder),
        "small" => small(&folder),
        "stream" => stream(&folder),
        "trees" => trees::measure(&folder),
        "keeping-fill" => keeping::fill(&folder, &number_arguments(arguments)?),
        "keeping-litter" => keeping::litter(&folder, &number_arguments(arguments)?),
        "keeping" => keeping::measure(&folder, &number_arguments(arguments)?),
        other => bail!("no subject {other:?}"),
    }
}

/// What the platform gives: a file copied and hashed, and one hashed, on one thread without any storage engine.
fn limits(folder: &Path) -> Result<()> {
    let copy = timed(|| {
        let mut copy = File::create(folder.join("copy"))?;
        hash_pieces(&folder.join("big"), |piece| copy.write_all(piece))?;
        Ok(copy.sync_data()?)
    })?;
    let hash = timed(|| hash_pieces(&folder.join("big"), |_| Ok(())))?;
    print(&[("copy", seconds(copy)), ("hash", seconds(hash))]);
    Ok(())
}

fn hash_pieces(path: &Path, mut each: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; MIB];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        std::hint::black_box(Sha256::digest(&piece[..count]));
        each(&piece[..count])?;
    }
}

/// One file of 256 MiB: in, out, and 200 ranges of it.
fn large(folder: &Path) -> Result<()> {
    let big = folder.join("big");
    let mut host = Host::open(folder, "large", Durability::Strict)?;
    let mut cid = String::new();
    let import = timed(|| {
        cid = import(&mut host, &big, Profile::UnixfsV12025)?;
        Ok(())
    })?;
    let (heap, memory) = (host.heap(), peak_memory()?);
    let mut back = File::create(folder.join("back"))?;
    let read = timed(|| host.read(&cid, 0, None, PIECE, |piece| Ok(back.write_all(piece)?)))?;
    let to_memory = timed(|| host.read(&cid, 0, None, PIECE, |_| Ok(())))?;

    let size = fs::metadata(&big)?.len();
    let mut random = 1;
    let ranges = timed(|| {
        for _ in 0..RANGES {
            let offset = splitmix(&mut random) % (size - RANGE);
            host.read(&cid, offset, Some(RANGE), RANGE as usize, |_| Ok(()))?;
        }
        Ok(())
    })?;
    let heap_reading = host.heap();

    let mut host = Host::open(folder, "large-v0", Durability::Strict)?;
    let mut cid_v0 = String::new();
    let import_v0 = timed(|| {
        cid_v0 = self::import(&mut host, &big, Profile::UnixfsV02015)?;
        Ok(())
    })?;
    print(&[
        ("import", seconds(import)),
        ("importV0", seconds(import_v0)),
        ("read", seconds(read)),
        ("readToMemory", seconds(to_memory)),
        ("ranges", seconds(ranges)),
        ("heap", heap.to_string()),
        ("heapReading", heap_reading.to_string()),
        ("memory", memory.to_string()),
        ("cid", format!("{cid:?}")),
        ("cidV0", format!("{cid_v0:?}")),
    ]);
    Ok(())
}

fn import(host: &mut Host, path: &Path, profile: Profile) -> Result<String> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    host.write(host::layout(profile), || {
        let count = file.read(&mut piece)?;
        Ok(piece[..count].to_vec())
    })
}

/// 2,000 files of 4 KiB, in batches and one by one.
fn small(folder: &Path) -> Result<()> {
    let mut paths = fs::read_dir(folder.join("small"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut figures = Vec::new();
    for (durability, name) in [(Durability::Strict, "Strict"), (Durability::Relaxed, "Relaxed")] {
        let mut host = Host::open(folder, &format!("together-{name}"), durability)?;
        let together = timed(|| {
            for batch in paths.chunks(BATCH) {
                let files = batch.iter().map(fs::read).collect::<std::io::Result<Vec<_>>>()?;
                host.store_many(files)?;
            }
            Ok(())
        })?;
        let mut host = Host::open(folder, &format!("each-{name}"), durability)?;
        let each = timed(|| paths.iter().try_for_each(|path| host.store(&fs::read(path)?)))?;
        figures.push((format!("together{name}"), seconds(together)));
        figures.push((format!("each{name}"), seconds(each)));
    }
    print(&figures);
    Ok(())
}

/// The heap that a stream of 1 GiB takes.
fn stream(folder: &Path) -> Result<()> {
    let mut host = Host::open(folder, "stream", Durability::Relaxed)?;
    let (mut left, mut random) = (1024 * MIB / PIECE, 2);
    let cid = host.write(host::layout(Profile::UnixfsV12025), || {
        let Some(rest) = left.checked_sub(1) else { return Ok(Vec::new()) };
        left = rest;
        Ok((0..PIECE / 8).flat_map(|_| splitmix(&mut random).to_le_bytes()).collect())
    })?;
    let writing = host.heap();
    host.read(&cid, 0, None, PIECE, |_| Ok(()))?;
    print(&[
        ("heap", writing.to_string()),
        ("heapReading", host.heap().to_string()),
        ("memory", peak_memory()?.to_string()),
    ]);
    Ok(())
}

/// What follows the folder.
fn number_arguments(arguments: impl Iterator<Item = String>) -> Result<Vec<u64>> {
    arguments.map(|argument| Ok(argument.parse()?)).collect()
}

fn timed(action: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    action()?;
    Ok(start.elapsed())
}

/// The most memory that this process has had.
fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    Ok(kibibytes.context("no VmHWM")?.parse::<u64>()? * 1024)
}

/// Steele and others' SplitMix64: a random generator in four lines.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e3779b97f4a7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

fn print(figures: &[(impl AsRef<str>, String)]) {
    let pairs: Vec<String> = figures.iter().map(|(name, value)| format!("{:?}:{value}", name.as_ref())).collect();
    println!("{{{}}}", pairs.join(","));
}
