//! Names: small mutable records of where something is, each a name and a CID, changed by compare-and-swap.

use std::collections::HashSet;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::{MAX_PAGE, Shared, Storage, sweep, walk::walk_held};
use crate::{
    block::{self, Cid},
    error::{Error, Result},
    tier::Commit,
};

/// Longest name, in bytes of UTF-8: as long as a file's name may be on common file systems, four times over.
pub const MAX_NAME_BYTES: usize = 1024;

/// Before the names of the notes that names are kept in.
const PREFIX: &str = "name/";

/// A name, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// What it leads to.
    pub cid: Cid,
    /// When it was set, in milliseconds since the Unix epoch.
    pub modified: u64,
}

/// A part of a list of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePage {
    /// In the order of the names' bytes.
    pub names: Vec<Named>,
    /// After which the next page begins; none on the last one.
    pub next: Option<String>,
}

/// What a name must lead to for being changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    /// Whatever it leads to, if it is there at all.
    #[default]
    Any,
    /// There must be no such name.
    Absent,
    /// To this.
    Cid(Cid),
}

type Notes = Vec<(String, Option<Bytes>)>;

/// The record in a note: CBOR by field number, so that later versions can add fields.
#[derive(Encode, Decode)]
struct Record {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    cid: Vec<u8>,
    #[n(1)]
    modified: u64,
}

impl Storage {
    /// Has a name lead to a CID. [`Error::Conflict`] when it leads elsewhere than expected.
    ///
    /// What the CID reaches is neither collected, evicted nor deleted as long as the name leads there; it need not be held,
    /// and is not fetched. What only the earlier value reached goes with the next collection.
    ///
    /// A name is any text of 1 to [`MAX_NAME_BYTES`] bytes without control characters.
    pub async fn set_name(&self, name: &str, cid: &Cid, expected: Expected) -> Result<Named> {
        block::check(cid)?;
        let named = Named { name: checked(name)?.to_owned(), cid: cid.clone(), modified: self.shared.clock.now() };
        // Until the name keeps it, nothing may drop what of it is held.
        let open = sweep::enter(&self.shared).await?;
        walk_held(&self.shared, cid, &mut |cid| self.shared.blocks.rely_on(std::slice::from_ref(cid))).await?;
        self.change_name(name, Some(named.encode()), expected).await?;
        sweep::leave(open).await;
        Ok(named)
    }

    /// What a name leads to; [`Error::NoEntry`] if there is no such name.
    pub async fn get_name(&self, name: &str) -> Result<Named> {
        let value = self.shared.tier.note(&key(checked(name)?)).await?;
        Named::decode(name.to_owned(), &value.ok_or_else(|| Error::NoEntry(name.to_owned()))?)
    }

    /// Forgets a name; what only it reached goes with the next collection. [`Error::NoEntry`] if there is none, and
    /// [`Error::Conflict`] when it leads elsewhere than expected.
    pub async fn remove_name(&self, name: &str, expected: Expected) -> Result<()> {
        self.get_name(name).await?;
        self.change_name(name, None, expected).await
    }

    /// At most `limit` names that begin with `prefix`, in the order of their bytes, after `after`.
    pub async fn list_names(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::InvalidArgument(format!("a page of {limit}; allowed are 1 to {MAX_PAGE}")));
        }
        // One more tells whether there is a next page.
        let mut names = self.shared.names(prefix, after, limit + 1).await?;
        let more = names.len() > limit;
        names.truncate(limit);
        let next = names.last().filter(|_| more).map(|last| last.name.clone());
        Ok(NamePage { names, next })
    }

    async fn change_name(&self, name: &str, value: Option<Bytes>, expected: Expected) -> Result<()> {
        let (shared, note) = (self.shared.clone(), key(name));
        let conflict = Error::Conflict { name: name.to_owned() };
        let change = async move {
            loop {
                let found = shared.tier.note(&note).await?;
                let leads = found.as_ref().map(|found| Named::decode(String::new(), found)).transpose()?;
                let met = match &expected {
                    Expected::Any => true,
                    Expected::Absent => leads.is_none(),
                    Expected::Cid(cid) => leads.is_some_and(|leads| leads.cid == *cid),
                };
                if !met {
                    return Err(conflict);
                }
                let commit = Commit {
                    notes: vec![(note.clone(), value.clone())],
                    expect: if expected == Expected::Any { Vec::new() } else { vec![(note.clone(), found)] },
                    durability: shared.options.durability,
                    ..Commit::default()
                };
                match shared.blocks.commit(commit).await {
                    // Another tab has set it at that moment, perhaps to the same.
                    Err(Error::Conflict { .. }) => {}
                    done => return done.map(drop),
                }
            }
        };
        self.shared.roots.pass(change).await?;
        self.shared.room.litter();
        Ok(())
    }
}

impl Shared {
    /// At most `limit` names that begin with `prefix`, after a name.
    pub(super) async fn names(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Named>> {
        let notes = self.tier.notes(&key(prefix), after.map(key).as_deref(), limit).await?;
        let named = |(note, value): (String, Bytes)| Named::decode(note.split_at(PREFIX.len()).1.to_owned(), &value);
        notes.into_iter().map(named).collect()
    }

    /// What forgets the names that lead to this, and what must be so for that; [`Error::Denied`] if there are any, unless
    /// they may be forgotten.
    pub(super) async fn unname(&self, cid: &Cid, force: bool) -> Result<(Notes, Notes)> {
        let (mut notes, mut expect) = (Vec::new(), Vec::new());
        for named in self.all_names().await?.into_iter().filter(|named| named.cid == *cid) {
            if !force {
                let problem = format!("the name {:?} leads to {cid}; remove the name first, or force it", named.name);
                return Err(Error::Denied(problem));
            }
            let note = key(&named.name);
            notes.push((note.clone(), None));
            expect.push((note, Some(named.encode())));
        }
        Ok((notes, expect))
    }

    /// What names lead to.
    pub(super) async fn named(&self) -> Result<HashSet<Cid>> {
        Ok(self.all_names().await?.into_iter().map(|named| named.cid).collect())
    }

    async fn all_names(&self) -> Result<Vec<Named>> {
        self.names("", None, usize::MAX).await
    }
}

impl Named {
    fn encode(&self) -> Bytes {
        let record = Record { cid: self.cid.to_bytes(), modified: self.modified };
        // Writing to memory cannot fail.
        minicbor::to_vec(record).unwrap_or_default().into()
    }

    fn decode(name: String, value: &[u8]) -> Result<Named> {
        let corrupt = || Error::Corrupt { cid: None, detail: format!("the record of the name {name:?}") };
        let Record { cid, modified } = minicbor::decode(value).map_err(|_| corrupt())?;
        let cid = block::from_bytes(&cid).map_err(|_| corrupt())?;
        Ok(Named { name, cid, modified })
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn checked(name: &str) -> Result<&str> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(name);
    }
    let problem = format!("a name of {} bytes; allowed are 1 to {MAX_NAME_BYTES}, no control characters", name.len());
    Err(Error::InvalidArgument(problem))
}
