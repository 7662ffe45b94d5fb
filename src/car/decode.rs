//! Reading archives of versions 1 and 2.

use bytes::{Bytes, BytesMut};

use super::{DATA_START, FIXED_BYTES, Item, Malformed, PRAGMA};
use crate::block::{self, Cid, MAX_BLOCK_BYTES};

/// Longest header: a thousand roots fit.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Longest CID in front of a block: an identity CID of the greatest length.
pub(super) const MAX_CID_BYTES: usize = 160;

/// Takes an archive in pieces of any size, and gives its parts as soon as each is whole. It holds no more than one part
/// and the piece that came last. The index of version 2 is not read, nor is anything else behind the data.
#[derive(Debug, Default)]
pub struct CarDecoder {
    pending: BytesMut,
    /// Where in the archive they begin.
    at: u64,
    stage: Stage,
    /// Of version 2, where its data ends.
    end: Option<u64>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// The header of version 1, or the pragma of version 2,
    #[default]
    Start,
    /// and after that where its data lies,
    Fixed,
    /// padding up to there,
    Padding(u64),
    /// and the header of its data.
    Header,
    Sections,
    /// What is not read.
    Rest,
}

/// A place between two sections of an archive, and what must be known to go on there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the archive before it.
    pub offset: u64,
    /// Of version 2, where its data ends.
    pub end: Option<u64>,
}

impl CarDecoder {
    /// A decoder at the beginning of an archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder at a place within one.
    pub fn at(place: Place) -> Self {
        CarDecoder { at: place.offset, stage: Stage::Sections, end: place.end, ..Self::default() }
    }

    /// After the part that was given last. Only behind the header one can go on from there.
    pub fn place(&self) -> Place {
        // What is behind the data is not counted: at its end there is nothing more to say.
        let offset = self.end.filter(|_| self.stage == Stage::Rest).unwrap_or(self.at);
        Place { offset, end: self.end }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.stage != Stage::Rest {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// The next part, if it is whole.
    pub fn next_item(&mut self) -> Result<Option<Item>, Malformed> {
        loop {
            match self.stage {
                Stage::Start if PRAGMA.starts_with(&self.pending) && self.pending.len() < PRAGMA.len() => {
                    return Ok(None);
                }
                Stage::Start if self.pending.starts_with(&PRAGMA) => {
                    self.skip(PRAGMA.len());
                    self.stage = Stage::Fixed;
                }
                Stage::Fixed => {
                    if self.pending.len() < FIXED_BYTES {
                        return Ok(None);
                    }
                    let (offset, end) = self.fixed().map_err(|problem| self.malformed(problem))?;
                    self.skip(FIXED_BYTES);
                    (self.stage, self.end) = (Stage::Padding(offset), Some(end));
                }
                Stage::Padding(to) => {
                    let left = usize::try_from(to - self.at).unwrap_or(usize::MAX);
                    self.skip(left.min(self.pending.len()));
                    if self.at < to {
                        return Ok(None);
                    }
                    self.stage = Stage::Header;
                }
                Stage::Sections if self.end == Some(self.at) => {
                    self.stage = Stage::Rest;
                    self.pending = BytesMut::new();
                }
                Stage::Rest => return Ok(None),
                Stage::Start | Stage::Header | Stage::Sections => {
                    let Some((prefix, part)) = self.part()? else { return Ok(None) };
                    let item = self.item(&part).map_err(|problem| self.malformed(problem))?;
                    self.at += (prefix + part.len()) as u64;
                    self.stage = Stage::Sections;
                    return Ok(Some(item));
                }
            }
        }
    }

    /// Says whether the archive may end here.
    pub fn finish(&self) -> Result<(), Malformed> {
        let problem = match self.stage {
            Stage::Rest => return Ok(()),
            Stage::Sections if self.pending.is_empty() && self.end.is_none_or(|end| end == self.at) => return Ok(()),
            Stage::Sections if self.pending.is_empty() => "it ends before its data does".to_owned(),
            Stage::Sections => format!("it ends within a section, after {} bytes of it", self.pending.len()),
            _ => "it ends before its header does".to_owned(),
        };
        Err(self.malformed(problem))
    }

    fn malformed(&self, problem: String) -> Malformed {
        Malformed { offset: self.at, problem }
    }

    fn skip(&mut self, bytes: usize) {
        let _ = self.pending.split_to(bytes);
        self.at += bytes as u64;
    }

    /// Of version 2, where its data begins and ends.
    fn fixed(&self) -> Result<(u64, u64), String> {
        let field = |at: usize| {
            let bytes = self.pending.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let (offset, size, index) = (field(16), field(24), field(32));
        let end = offset.checked_add(size).filter(|_| size > 0 && offset >= DATA_START);
        let end = end.ok_or_else(|| format!("its header places {size} bytes of data at {offset}"))?;
        if index != 0 && index < end {
            return Err(format!("its header places the index at {index}, within what ends at {end}"));
        }
        Ok((offset, end))
    }

    /// The next part's prefix, in bytes, and the part, once it is whole.
    fn part(&mut self) -> Result<Option<(usize, Bytes)>, Malformed> {
        let Some((length, prefix)) = varint(&self.pending).map_err(|problem| self.malformed(problem))? else {
            return Ok(None);
        };
        let most = match self.stage {
            Stage::Sections => MAX_CID_BYTES + MAX_BLOCK_BYTES,
            _ => MAX_HEADER_BYTES,
        };
        // One of no bytes, which is how zeros at the end would read, is none either: the format has no padding.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 || length > most {
            return Err(self.malformed(format!("a part of {length} bytes, where 1 to {most} are allowed")));
        }
        if self.end.is_some_and(|end| end.saturating_sub(self.at) < (prefix + length) as u64) {
            return Err(self.malformed(format!("a part of {length} bytes, where its data has fewer left")));
        }
        if self.pending.len() < prefix + length {
            // All of it at once: growing piece by piece would copy it again and again.
            self.pending.reserve(prefix + length - self.pending.len());
            return Ok(None);
        }
        let _ = self.pending.split_to(prefix);
        Ok(Some((prefix, self.pending.split_to(length).freeze())))
    }

    fn item(&self, part: &Bytes) -> Result<Item, String> {
        if self.stage != Stage::Sections {
            return roots(part).map(Item::Header);
        }
        let cid_bytes = cid_length(part)?;
        let cid = part.get(..cid_bytes).ok_or("a section ends within its CID")?;
        let cid = block::from_bytes(cid).map_err(|error| error.to_string())?;
        let bytes = part.slice(cid_bytes..);
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(format!("a block of {} bytes, over the limit of {MAX_BLOCK_BYTES}", bytes.len()));
        }
        Ok(Item::Block(cid, bytes))
    }
}

/// Bytes of the CID at the front of a section.
fn cid_length(part: &[u8]) -> Result<usize, String> {
    // Version 0 is a bare sha2-256 multihash.
    if part.starts_with(&[0x12, 0x20]) {
        return Ok(34);
    }
    let mut at = 0;
    let mut last = 0;
    // Version, codec, hash function, digest length.
    for _ in 0..4 {
        let (value, bytes) = varint(part.get(at..).unwrap_or_default())?.ok_or("a section ends within its CID")?;
        (at, last) = (at + bytes, value);
    }
    let digest = usize::try_from(last).ok().filter(|digest| *digest <= MAX_CID_BYTES);
    digest.map(|digest| at + digest).ok_or_else(|| "a digest is too long".into())
}

/// An unsigned varint and how many bytes it takes; none if more bytes are needed to tell.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, String> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 9 { Ok(None) } else { Err("a varint is longer than nine bytes".into()) }
}

/// The roots in a header of version 1: a dag-cbor map `{ roots: [cid...], version: 1 }`.
fn roots(part: &[u8]) -> Result<Vec<Cid>, String> {
    let wrong = |_| "its header does not decode".to_owned();
    let mut decoder = minicbor::Decoder::new(part);
    let fields = decoder.map().map_err(wrong)?.ok_or("its header has no length")?;
    let (mut roots, mut version) = (Vec::new(), None);
    for _ in 0..fields {
        match decoder.str().map_err(wrong)? {
            "version" => version = Some(decoder.u64().map_err(wrong)?),
            "roots" => {
                let count = decoder.array().map_err(wrong)?.ok_or("its roots have no length")?;
                for _ in 0..count {
                    // Tag 42: a CID, with a zero in front.
                    decoder.tag().map_err(wrong)?;
                    let link = decoder.bytes().map_err(wrong)?;
                    let cid = link.strip_prefix(&[0]).ok_or("a root is no CID")?;
                    roots.push(block::from_bytes(cid).map_err(|error| error.to_string())?);
                }
            }
            _ => decoder.skip().map_err(wrong)?,
        }
    }
    match version {
        Some(1) => Ok(roots),
        Some(other) => Err(format!("its header says version {other}; versions 1 and 2 are read here")),
        None => Err("its header has no version".into()),
    }
}
