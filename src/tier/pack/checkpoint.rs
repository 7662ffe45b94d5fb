//! Checkpoints: the whole index and all roots as of one place in the log, so that opening reads the log from there only.
//!
//! Two files take turns; the newer one that is whole counts. So a checkpoint torn by a crash costs nothing but a longer
//! replay, and no file needs renaming, which not every home has.

use std::{cmp::Reverse, collections::BTreeMap, rc::Rc};

use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{
    frame::Position,
    table::{Entry, Table},
    version,
};
use crate::{
    block,
    error::{Error, Result},
    platform::files::{Directory, RandomAccessFile},
    tier::{
        Pin,
        root::{Root, RootMap},
    },
};

const NAMES: [&str; 2] = ["index-a", "index-b"];
const MAGIC: &[u8; 8] = b"IPKIDX\0\x01";
/// Magic, check, length of the head.
const PREAMBLE_BYTES: usize = 16;
/// The generation is the head's first field: after the head's own first byte, or a few, a number of at most nine bytes.
const GENERATION_BYTES: usize = 18;
/// The check covers everything after itself.
const CHECKED_FROM: usize = 12;
const ENTRY_BYTES: usize = 20;

/// The state of a store at one place in its log.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Counts up; its parity says in which file it is.
    pub generation: u64,
    /// Everything before it is in the table and the roots.
    pub position: Position,
    /// The blocks.
    pub table: Table,
    /// The roots.
    pub roots: RootMap,
    /// Blocks set aside since the store was made.
    pub quarantined: u64,
    /// Bytes of each file that is there, whatever is in it.
    pub index_bytes: BTreeMap<&'static str, u64>,
}

#[derive(Encode, Decode)]
struct Head {
    #[n(0)]
    generation: u64,
    #[n(1)]
    segment: u32,
    #[n(2)]
    offset: u32,
    #[n(3)]
    entries: u64,
    #[n(4)]
    roots: Vec<ByteVec>,
    /// CIDs, as pins were before they had names: read, and not written any more.
    #[n(5)]
    bare_pins: Vec<ByteVec>,
    #[n(6)]
    quarantined: u64,
    #[n(7)]
    pins: Option<Vec<ByteVec>>,
    #[n(8)]
    notes: Option<Vec<(String, ByteVec)>>,
}

/// Reads the newest whole checkpoint; an empty one if there is none.
pub async fn load(directory: &dyn Directory) -> Result<Checkpoint> {
    let present = directory.list().await?;
    let mut files = Vec::new();
    let mut index_bytes = BTreeMap::new();
    for name in NAMES.into_iter().filter(|name| present.iter().any(|file| file == name)) {
        let file = directory.open(name).await?;
        index_bytes.insert(name, file.len()?);
        files.push((claimed_generation(&file)?, file));
    }
    // The older one is as large as the newer, and hardly ever needed. One that claims what it is not, is not whole.
    files.sort_unstable_by_key(|(generation, _)| Reverse(*generation));
    for (_, file) in &files {
        if let Some(newest) = read(file)? {
            return Ok(Checkpoint { index_bytes, ..newest });
        }
    }
    Ok(Checkpoint { index_bytes, ..Checkpoint::default() })
}

/// What a file says before it is known to be whole; 0 if it says nothing. One of another version is an error.
fn claimed_generation(file: &Rc<dyn RandomAccessFile>) -> Result<u64> {
    let start = file.read_at(0, PREAMBLE_BYTES + GENERATION_BYTES)?;
    version::refuse_others(&start, MAGIC)?;
    let mut head = minicbor::Decoder::new(start.get(PREAMBLE_BYTES..).unwrap_or_default());
    Ok(head.array().and_then(|_| head.u64()).unwrap_or_default())
}

fn read(file: &Rc<dyn RandomAccessFile>) -> Result<Option<Checkpoint>> {
    let length = usize::try_from(file.len()?).map_err(|_| Error::Io("a checkpoint is too large".into()))?;
    let bytes = file.read_at(0, length)?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Option<Checkpoint> {
    let (preamble, rest) = bytes.split_at_checked(PREAMBLE_BYTES)?;
    let check = u32::from_le_bytes(preamble.get(8..12)?.try_into().ok()?);
    let head_bytes = u32::from_le_bytes(preamble.get(12..16)?.try_into().ok()?) as usize;
    if preamble.get(..8)? != MAGIC || crc32fast::hash(bytes.get(CHECKED_FROM..)?) != check {
        return None;
    }
    let (head, entries) = rest.split_at_checked(head_bytes)?;
    let head: Head = minicbor::decode(head).ok()?;
    if entries.len() as u64 != head.entries.checked_mul(ENTRY_BYTES as u64)? {
        return None;
    }
    let mut table = Table::with_capacity(entries.len() / ENTRY_BYTES);
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let word = |from: usize| Some(u32::from_le_bytes(entry.get(from..from + 4)?.try_into().ok()?));
        table.insert(Entry {
            prefix: u64::from_le_bytes(entry.get(..8)?.try_into().ok()?),
            at: Position { segment: word(8)?, offset: word(12)? },
            length: word(16)?,
        });
    }
    let set: Vec<Root> = head.roots.iter().map(|root| Root::decode(root)).collect::<Result<_>>().ok()?;
    let mut pins: Vec<Pin> = Vec::new();
    for cid in &head.bare_pins {
        pins.push(Pin::recursive(block::from_bytes(cid).ok()?));
    }
    for pin in head.pins.iter().flatten() {
        pins.push(Pin::decode(pin).ok()?);
    }
    let mut roots = RootMap::default();
    roots.apply(set, &[], pins, &[]);
    let note = |(name, value): (String, ByteVec)| (name, Some(Vec::from(value).into()));
    roots.set_notes(head.notes.into_iter().flatten().map(note).collect());
    Some(Checkpoint {
        generation: head.generation,
        position: Position { segment: head.segment, offset: head.offset },
        table,
        roots,
        quarantined: head.quarantined,
        index_bytes: BTreeMap::new(),
    })
}

/// A checkpoint's bytes, and the file they go to: the one with the older checkpoint.
pub fn encode(
    generation: u64,
    position: Position,
    table: &Table,
    roots: &RootMap,
    quarantined: u64,
) -> (&'static str, Vec<u8>) {
    let head = Head {
        generation,
        segment: position.segment,
        offset: position.offset,
        entries: table.len() as u64,
        roots: roots.page(None, usize::MAX).iter().map(|stored| stored.root.encode().into()).collect(),
        bare_pins: Vec::new(),
        pins: Some(roots.pins(None, usize::MAX).iter().map(|pin| pin.encode().into()).collect()),
        quarantined,
        notes: Some(
            roots.notes().into_iter().filter_map(|(name, value)| Some((name, value?.to_vec().into()))).collect(),
        ),
    };
    // Writing to memory cannot fail.
    let head = minicbor::to_vec(&head).unwrap_or_default();
    let mut bytes = Vec::with_capacity(PREAMBLE_BYTES + head.len() + table.len() * ENTRY_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0; CHECKED_FROM - MAGIC.len()]);
    bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&head);
    for entry in table.iter() {
        bytes.extend_from_slice(&entry.prefix.to_le_bytes());
        bytes.extend_from_slice(&entry.at.segment.to_le_bytes());
        bytes.extend_from_slice(&entry.at.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.length.to_le_bytes());
    }
    // Set afterwards and in place: the index is large, and must not be there twice.
    let check = bytes.get(CHECKED_FROM..).map(crc32fast::hash).unwrap_or_default();
    if let Some(place) = bytes.get_mut(MAGIC.len()..CHECKED_FROM) {
        place.copy_from_slice(&check.to_le_bytes());
    }
    (name(generation), bytes)
}

/// The file of a generation.
pub fn name(generation: u64) -> &'static str {
    let [even, odd] = NAMES;
    if generation.is_multiple_of(2) { even } else { odd }
}

/// Writes a checkpoint durably. What it covers in the log must have been synced before.
pub async fn save(directory: &dyn Directory, name: &str, bytes: &[u8]) -> Result<()> {
    let file = directory.open(name).await?;
    file.set_len(0)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    directory.sync().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::pack::frame::Position;

    /// As it was written before pins had names.
    #[test]
    fn pins_without_names_are_read() {
        let cid = block::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e").expect("a CID");
        let head = Head {
            generation: 3,
            segment: 1,
            offset: 12,
            entries: 0,
            roots: Vec::new(),
            bare_pins: vec![cid.to_bytes().into()],
            quarantined: 2,
            pins: None,
            notes: None,
        };
        let head = minicbor::to_vec(&head).expect("memory");
        let mut checked = (head.len() as u32).to_le_bytes().to_vec();
        checked.extend_from_slice(&head);
        let whole = [MAGIC.as_slice(), &crc32fast::hash(&checked).to_le_bytes(), &checked].concat();
        let found = parse(&whole).expect("it is whole");
        assert_eq!(found.roots.pin(&cid), Some(Pin::recursive(cid.clone())));
        assert_eq!((found.generation, found.quarantined), (3, 2));
        // And as it is written now.
        let mut roots = RootMap::default();
        roots.set_notes(vec![("note".into(), Some("value".into()))]);
        roots.apply(Vec::new(), &[], vec![Pin { name: Some("x".into()), ..Pin::recursive(cid.clone()) }], &[]);
        let at = Position { segment: 1, offset: 12 };
        let (_, bytes) = encode(4, at, &Table::default(), &roots, 0);
        let found = parse(&bytes).expect("it is whole");
        assert_eq!(found.roots.pin(&cid).and_then(|pin| pin.name), Some("x".into()));
        assert_eq!(found.roots.note("note"), Some("value".into()));
    }
}
