//! What is noted of work, of copies and of promises, and under which names.

use bytes::Bytes;
use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{Why, rule::Rule};
use crate::{
    backend::Trouble,
    block::{self, Cid},
    error::{Error, Result},
    remote::Failure,
};

/// Before the names of the notes.
pub const OUTBOX: &str = "outbox/";
pub const COPIES: &str = "copy/";
const POLICIES: &str = "policy/";

/// One root and one backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    pub cid: Cid,
    pub backend: String,
}

impl Pair {
    pub fn new(cid: &Cid, backend: &str) -> Self {
        Pair { cid: cid.clone(), backend: backend.to_owned() }
    }

    /// Of a note's name.
    pub fn of(note: &str, prefix: &str) -> Result<Self> {
        let parts = note.strip_prefix(prefix).and_then(|rest| rest.split_once(' '));
        let (cid, backend) = parts.ok_or_else(|| corrupt(note))?;
        Ok(Pair { cid: block::parse(cid).map_err(|_| corrupt(note))?, backend: backend.to_owned() })
    }

    /// Where its work is noted.
    pub fn work(&self) -> String {
        format!("{OUTBOX}{} {}", self.cid, self.backend)
    }

    /// Where its copy is noted.
    pub fn copy(&self) -> String {
        format!("{COPIES}{} {}", self.cid, self.backend)
    }
}

/// Before the names of all notes of a root that begin so.
pub fn all_of(prefix: &str, cid: &Cid) -> String {
    format!("{prefix}{cid} ")
}

/// Where the promise for a root is noted.
pub fn policy(cid: &Cid) -> String {
    format!("{POLICIES}{cid}")
}

/// Before the names of all of these, and after it the root.
pub fn policies() -> &'static str {
    POLICIES
}

/// What is to be done next for a root at a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Stage {
    /// It is to be sent.
    #[default]
    #[n(0)]
    Send,
    /// The backend says that it has it; that is to be proven.
    #[n(1)]
    Prove,
    /// It is to be removed there.
    #[n(2)]
    Remove,
}

/// Work that waits, or is under way. On disk: CBOR by field number, so that later versions can add fields.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Work {
    #[n(0)]
    pub stage: Stage,
    /// When it was queued.
    #[n(1)]
    pub queued: u64,
    /// When it is to be tried; the end of time, when it was given up.
    #[n(2)]
    pub due: u64,
    /// Failures in a row.
    #[n(3)]
    pub failures: u32,
    /// The last of them: its kind, and what it said.
    #[n(4)]
    pub trouble: Option<(u8, String)>,
    /// The backend's own.
    #[n(5)]
    pub state: Option<ByteVec>,
    /// Blocks that are sent, or of a proof, read so far.
    #[n(6)]
    pub blocks: u64,
    /// Their bytes.
    #[n(7)]
    pub bytes: u64,
    /// Of a proof: all blocks that were sent, and their bytes; zero where nobody counted them.
    #[n(8)]
    pub whole: (u64, u64),
    /// Of a proof: when the backend said that it has it.
    #[n(9)]
    pub stored: u64,
    /// How often it was there by the backend's word, and was not: it is begun anew each time, and so goes well each time
    /// until then.
    #[n(10)]
    pub losses: u32,
}

/// The end of time.
pub const NEVER: u64 = u64::MAX;

impl Work {
    /// To be sent now.
    pub fn to_send(now: u64) -> Self {
        Work { queued: now, due: now, ..Work::default() }
    }

    /// The backend's own.
    pub fn state(&self) -> Option<Bytes> {
        self.state.as_ref().map(|state| Bytes::copy_from_slice(state))
    }

    pub fn set_state(&mut self, state: Option<Bytes>) {
        self.state = state.map(|state| state.to_vec().into());
    }

    /// Whether the backend may have some of it.
    pub fn has_begun(&self) -> bool {
        self.state.is_some() || self.failures > 0
    }

    /// How often it failed since it went well as a whole.
    pub fn tries(&self) -> u32 {
        self.failures.max(self.losses)
    }

    /// After a step that went well.
    pub fn gone_well(&self, now: u64) -> Self {
        let trouble = self.trouble.clone().filter(|_| self.losses > 0);
        Work { due: now, failures: 0, trouble, ..self.clone() }
    }

    /// Whether it was given up.
    pub fn has_failed(&self) -> bool {
        self.due == NEVER
    }

    /// The last failure.
    pub fn why(&self) -> Option<Why> {
        let (kind, said) = self.trouble.clone()?;
        Some(Why::There(match kind {
            0 => Failure::NotFound,
            1 => Failure::Busy(said.parse().ok()),
            2 => Failure::Refused(said),
            3 => Failure::Unsupported(said),
            4 => Failure::Lied(said),
            6 => Failure::Silent,
            7 => Failure::Unreachable(said),
            8 => Failure::Denied(said),
            9 => return Some(Why::Here(said)),
            _ => Failure::Broken(said),
        }))
    }

    pub fn set_trouble(&mut self, trouble: &Trouble) {
        self.trouble = Some(match trouble {
            Trouble::Here(error @ Error::Corrupt { cid: Some(cid), .. }) => (9, format!("{cid}: {error}")),
            Trouble::Here(error) => (9, error.to_string()),
            Trouble::There(failure) => match failure {
                Failure::NotFound => (0, String::new()),
                Failure::Busy(wait) => (1, wait.map(|wait| wait.to_string()).unwrap_or_default()),
                Failure::Refused(said) => (2, said.clone()),
                Failure::Unsupported(said) => (3, said.clone()),
                Failure::Lied(said) => (4, said.clone()),
                Failure::Broken(said) => (5, said.clone()),
                Failure::Silent => (6, String::new()),
                Failure::Unreachable(said) => (7, said.clone()),
                Failure::Denied(said) => (8, said.clone()),
            },
        });
    }

    pub fn encode(&self) -> Bytes {
        encoded(self)
    }

    pub fn decode(note: &str, value: &[u8]) -> Result<Self> {
        minicbor::decode(value).map_err(|_| corrupt(note))
    }
}

/// A copy that was proven. On disk likewise.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Copy {
    #[n(0)]
    pub state: ByteVec,
    /// When the backend said that it has it.
    #[n(1)]
    pub stored: u64,
    /// Blocks that were sent, and their bytes; zero where nobody counted them.
    #[n(2)]
    pub whole: (u64, u64),
    /// When it was read back last,
    #[n(3)]
    pub proven: u64,
    /// how much of it,
    #[n(4)]
    pub read: (u64, u64),
    /// and whether that was all.
    #[n(5)]
    pub all: bool,
}

impl Copy {
    pub fn new(state: &Bytes, stored: u64, whole: (u64, u64), proven: u64, read: (u64, u64), all: bool) -> Self {
        Copy { state: state.to_vec().into(), stored, whole, proven, read, all }
    }

    /// The backend's own.
    pub fn state(&self) -> Bytes {
        Bytes::copy_from_slice(&self.state)
    }

    pub fn encode(&self) -> Bytes {
        encoded(self)
    }

    pub fn decode(note: &str, value: &[u8]) -> Result<Self> {
        minicbor::decode(value).map_err(|_| corrupt(note))
    }
}

/// What was promised for a root. On disk likewise.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Promise {
    /// When.
    #[n(0)]
    pub since: u64,
    /// What.
    #[n(1)]
    pub rule: Rule,
    /// When something of it is to be looked after next: an audit, the archive, or the local copy's leaving.
    #[n(2)]
    pub next: u64,
    /// The record of the root, when it has left this tier.
    #[n(3)]
    pub left: Option<ByteVec>,
}

impl Promise {
    pub fn encode(&self) -> Bytes {
        encoded(self)
    }

    pub fn decode(note: &str, value: &[u8]) -> Result<Self> {
        minicbor::decode(value).map_err(|_| corrupt(note))
    }
}

fn encoded(record: &impl Encode<()>) -> Bytes {
    // Writing to memory cannot fail.
    minicbor::to_vec(record).unwrap_or_default().into()
}

fn corrupt(note: &str) -> Error {
    Error::Corrupt { cid: None, detail: format!("the record {note:?}") }
}
