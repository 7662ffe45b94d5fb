//! CIDs: parsed first, everywhere. Nothing else in the engine takes a CID as text.

use std::{fmt, ops::Deref, sync::Arc};

use cid::{CidGeneric, Version};
use multihash::Multihash;

use super::multibase;
use crate::{
    error::{Error, Result},
    hash::{Digest, HashFunction, IDENTITY_CODE, MAX_IDENTITY_BYTES},
};

type Wide = CidGeneric<MAX_IDENTITY_BYTES>;

/// A CID, wide enough for the longest identity digest. Its text is canonical: base32, and base58btc for version 0.
///
/// It is a shared pointer: CIDs go everywhere, through futures and errors too, and 150 bytes would be moved each time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid(Arc<Wide>);

impl Cid {
    /// Version 1 of this codec.
    pub fn new_v1(codec: u64, hash: Multihash<MAX_IDENTITY_BYTES>) -> Self {
        Wide::new_v1(codec, hash).into()
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        let _ = self.write_bytes(&mut bytes); // a Vec takes all
        bytes
    }
}

impl From<Wide> for Cid {
    fn from(wide: Wide) -> Self {
        Cid(Arc::new(wide))
    }
}

impl Deref for Cid {
    type Target = Wide;

    fn deref(&self) -> &Wide {
        &self.0
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.to_bytes();
        f.write_str(&match self.version() {
            Version::V0 => multibase::base58(&bytes),
            Version::V1 => multibase::base32(&bytes),
        })
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({self})")
    }
}

/// What a tier keeps a block under: its multihash. CIDs that differ in version or codec only share one block.
pub type Key = Multihash<64>;

/// Longest text taken for a CID: the longest identity CID in base2 has 1,073 characters.
const MAX_TEXT: usize = 1100;

/// The codecs this engine knows (multicodec table).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Plain bytes.
    Raw,
    /// Links and data: the nodes of UnixFS.
    DagPb,
    /// CBOR with links.
    DagCbor,
    /// JSON with links.
    DagJson,
}

impl Codec {
    /// Its multicodec number.
    pub const fn code(self) -> u64 {
        match self {
            Codec::Raw => 0x55,
            Codec::DagPb => 0x70,
            Codec::DagCbor => 0x71,
            Codec::DagJson => 0x0129,
        }
    }

    /// The codec of a CID that [`parse`] or the engine made.
    pub fn of(cid: &Cid) -> Result<Codec> {
        [Codec::Raw, Codec::DagPb, Codec::DagCbor, Codec::DagJson]
            .into_iter()
            .find(|codec| codec.code() == cid.codec())
            .ok_or_else(|| invalid(format!("codec 0x{:x} is not known here", cid.codec())))
    }
}

/// Reads a CID from its text. Anything but a CID of a known version, codec and hash is [`Error::InvalidCid`].
pub fn parse(text: &str) -> Result<Cid> {
    let cid = from_text(text)?;
    check(&cid)?;
    Ok(cid)
}

/// The same of a CID of any codec and hash, as links may lead to.
pub fn from_text(text: &str) -> Result<Cid> {
    if text.is_empty() {
        return Err(invalid("the text is empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(invalid(format!("{} characters; no CID has more than {MAX_TEXT}", text.len())));
    }
    if let Some(bad) = text.chars().find(|c| matches!(c, '/' | '\\' | '.') || c.is_whitespace() || c.is_control()) {
        return Err(invalid(format!("the character {bad:?} occurs in no CID; give the CID alone, without a path")));
    }
    let bare = Version::is_v0_str(text);
    let bytes = if bare { multibase::decode(&format!("z{text}")) } else { multibase::decode(text) };
    let cid = from_bytes(&bytes.ok_or_else(|| invalid("it is written in no base that CIDs are written in"))?)?;
    if !bare && cid.version() == Version::V0 {
        return Err(invalid("version 0 is written in base58btc alone, without a multibase prefix"));
    }
    Ok(cid)
}

/// Reads a CID from its bytes, and from nothing more.
pub fn from_bytes(bytes: &[u8]) -> Result<Cid> {
    let cid = Wide::try_from(bytes).map(Cid::from).map_err(|error| invalid(error.to_string()))?;
    if cid.encoded_len() != bytes.len() {
        return Err(invalid("there are bytes behind its digest"));
    }
    Ok(cid)
}

/// Whether the engine knows the version, codec and hash of a CID that came as bytes.
pub fn check(cid: &Cid) -> Result<()> {
    Codec::of(cid)?;
    let hash = cid.hash();
    let length = hash.digest().len();
    if hash.code() == IDENTITY_CODE {
        return Ok(()); // the type holds no longer one
    }
    let function = HashFunction::ALL.into_iter().find(|function| function.code() == hash.code());
    match function {
        None => Err(invalid(format!("hash function 0x{:x} is not known here", hash.code()))),
        Some(function) if function.digest_bytes() != length => {
            Err(invalid(format!("a {function} digest has {} bytes, not {length}", function.digest_bytes())))
        }
        Some(_) => Ok(()),
    }
}

/// Names a digest.
pub fn new_cid(version: Version, codec: Codec, digest: Digest) -> Cid {
    // A Multihash<64> always fits the wider one.
    let wide = Multihash::wrap(digest.code(), digest.digest()).unwrap_or_default();
    match (version, codec) {
        (Version::V0, Codec::DagPb) => Wide::new_v0(wide).map_or_else(|_| Cid::new_v1(codec.code(), wide), Cid::from),
        _ => Cid::new_v1(codec.code(), wide),
    }
}

/// What a tier keeps the block of `cid` under; none for an identity CID, which needs no keeping.
pub fn key(cid: &Cid) -> Option<Key> {
    let hash = cid.hash();
    if hash.code() == IDENTITY_CODE { None } else { Multihash::wrap(hash.code(), hash.digest()).ok() }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::InvalidCid { reason: reason.into() }
}
