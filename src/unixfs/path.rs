//! Paths: a CID, and names below it.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;

use crate::{
    block::{self, Cid},
    error::{Error, Result},
};

/// Longest text of all names of a path together, with the slashes: what file systems take (`PATH_MAX` of Linux). Escaped
/// for a URL it stays below 12 KiB.
pub const MAX_PATH_BYTES: usize = 4096;

/// Most names in a path. Each is a directory to be read, and to be fetched, before the next is known.
pub const MAX_PATH_NAMES: usize = 128;

/// What a path may begin with, before its CID.
const PREFIX: &str = "/ipfs/";
/// The same as an address. In it names are percent-encoded.
const SCHEME: &str = "ipfs://";

/// A CID, or what is found below one by names: `CID/a/b.txt`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    cid: Cid,
    names: Vec<String>,
}

impl Path {
    /// What is below `cid` by these names.
    ///
    /// A name is any text without a slash, but not `.` or `..`; the empty one is dropped.
    pub fn new(cid: Cid, names: impl IntoIterator<Item = String>) -> Result<Path> {
        let mut path = Path { cid, names: Vec::new() };
        let mut bytes = 0;
        for name in names {
            if name.is_empty() {
                continue;
            }
            if matches!(name.as_str(), "." | "..") || name.contains('/') {
                return Err(invalid(format!(
                    "{name:?} is no name in a path: paths lead downwards, one name at a time"
                )));
            }
            bytes += name.len() + 1;
            path.names.push(name);
            if path.names.len() > MAX_PATH_NAMES || bytes > MAX_PATH_BYTES {
                return Err(invalid(format!(
                    "a path of more than {MAX_PATH_NAMES} names, or {MAX_PATH_BYTES} bytes of them"
                )));
            }
        }
        Ok(path)
    }

    /// Reads `CID/a/b`, `/ipfs/CID/a/b` or `ipfs://CID/a/b`; a CID alone is a path without names.
    ///
    /// Names are taken as they are, percent signs and all; only in an address are they percent-decoded. A text without a
    /// CID that this engine knows is [`Error::InvalidCid`], wrong names are [`Error::InvalidArgument`].
    pub fn parse(text: &str) -> Result<Path> {
        let address = text.strip_prefix(SCHEME);
        let plain = text.strip_prefix(PREFIX).unwrap_or(text);
        let (cid, below) = address.unwrap_or(plain).split_once('/').unwrap_or((address.unwrap_or(plain), ""));
        let cid = match cid {
            "" if !text.is_empty() => {
                let reason = "no CID where one must be: a path is CID/name, /ipfs/CID/name or ipfs://CID/name".into();
                return Err(Error::InvalidCid { reason });
            }
            cid => block::parse(cid)?,
        };
        match address {
            None => Path::new(cid, below.split('/').map(str::to_owned)),
            Some(_) => {
                let names: Result<Vec<String>> = below.split('/').map(decode).collect();
                Path::new(cid, names?)
            }
        }
    }

    /// Where it begins.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The names below that, perhaps none.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// A name in an address.
fn decode(name: &str) -> Result<String> {
    if let Some(part) = name.find(['?', '#']).and_then(|at| name.get(at..)) {
        return Err(invalid(format!("an address with {part:?}; in a name, write %3F and %23")));
    }
    let decoded = percent_decode_str(name).decode_utf8();
    Ok(decoded.map_err(|_| invalid(format!("{name:?} does not decode to UTF-8")))?.into_owned())
}

fn invalid(reason: String) -> Error {
    Error::InvalidArgument(reason)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cid)?;
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

impl FromStr for Path {
    type Err = Error;

    fn from_str(text: &str) -> Result<Path> {
        Path::parse(text)
    }
}

impl From<Cid> for Path {
    fn from(cid: Cid) -> Path {
        Path { cid, names: Vec::new() }
    }
}

impl From<&Cid> for Path {
    fn from(cid: &Cid) -> Path {
        Path::from(cid.clone())
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Path {
        path.clone()
    }
}

/// Paths without names are CIDs.
impl PartialEq<Cid> for Path {
    fn eq(&self, cid: &Cid) -> bool {
        self.names.is_empty() && self.cid == *cid
    }
}
