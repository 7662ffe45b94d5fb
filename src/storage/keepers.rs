//! Who keeps blocks: pins, stored roots, names, and the mutable tree.

use super::{MAX_PAGE, Shared, files::root::Roots, walk::Walked};
use crate::{
    block::Cid,
    error::Result,
    tier::{Pin, PinKind, StoredRoot},
};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeper {
    /// Where it begins.
    pub cid: Cid,
    /// Whether it keeps what is below, too.
    pub recursive: bool,
    /// Whether some of it may be missing: it is still to come, or a name, or the mutable tree, leads to
    /// what was never here.
    pub pending: bool,
    /// Whether it is a pin, and not only a stored root.
    pub pinned: bool,
}

impl Keeper {
    /// A pin.
    pub fn of(pin: &Pin) -> Self {
        Keeper { cid: pin.cid, recursive: pin.kind == PinKind::Recursive, pending: pin.pending, pinned: true }
    }

    /// What a name, or the mutable tree, leads to.
    fn named(cid: Cid) -> Self {
        Keeper { cid, recursive: true, pending: true, pinned: false }
    }

    /// Whether all that it needs is known by such a walk: what is still to come is not needed yet.
    pub fn knows(&self, walked: Walked) -> bool {
        match walked {
            Walked::Whole => true,
            Walked::Missing => self.pending,
            Walked::Unreadable => false,
        }
    }
}

/// All of them, by pages: pins, then stored roots, pinned or not, then pins that are pending, then names, then
/// the mutable tree.
#[derive(Default)]
pub struct Keepers {
    stage: Stage,
    after: Option<After>,
}

/// After what the next page begins.
enum After {
    Cid(Cid),
    Name(String),
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Pins,
    Roots,
    Pending,
    Names,
    Tree,
    Ended,
}

impl Keepers {
    /// The next of them; none are left when it is empty.
    pub async fn next_page(&mut self, shared: &Shared) -> Result<Vec<Keeper>> {
        while self.stage != Stage::Ended {
            let (last, page) = match self.stage {
                Stage::Roots => self.roots(shared).await?,
                Stage::Names => self.names(shared).await?,
                Stage::Tree => (None, tree(shared).await?),
                _ => self.pins(shared).await?,
            };
            if last.is_none() {
                self.stage = match self.stage {
                    Stage::Pins => Stage::Roots,
                    Stage::Roots => Stage::Pending,
                    Stage::Pending => Stage::Names,
                    Stage::Names => Stage::Tree,
                    Stage::Tree | Stage::Ended => Stage::Ended,
                };
            }
            self.after = last;
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    fn cid(&self) -> Option<&Cid> {
        match &self.after {
            Some(After::Cid(cid)) => Some(cid),
            _ => None,
        }
    }

    async fn roots(&self, shared: &Shared) -> Result<(Option<After>, Vec<Keeper>)> {
        let page = shared.tier.roots(self.cid(), MAX_PAGE).await?;
        let last = page.last().map(|last| After::Cid(last.root.cid));
        // Pinned ones as well: one may have been pinned since the pins were listed.
        let keeper =
            |stored: StoredRoot| Keeper { cid: stored.root.cid, recursive: true, pending: false, pinned: false };
        Ok((last, page.into_iter().map(keeper).collect()))
    }

    async fn names(&self, shared: &Shared) -> Result<(Option<After>, Vec<Keeper>)> {
        let after = match &self.after {
            Some(After::Name(name)) => Some(name.as_str()),
            _ => None,
        };
        let page = shared.names("", after, MAX_PAGE).await?;
        let keepers = page.iter().map(|named| Keeper::named(named.cid)).collect();
        Ok((page.into_iter().last().map(|last| After::Name(last.name)), keepers))
    }

    async fn pins(&self, shared: &Shared) -> Result<(Option<After>, Vec<Keeper>)> {
        let page = shared.tier.pins(self.cid(), MAX_PAGE).await?;
        let last = page.last().map(|last| After::Cid(last.cid));
        let wanted = |pin: &Pin| pin.pending == (self.stage == Stage::Pending);
        Ok((last, page.iter().filter(|pin| wanted(pin)).map(Keeper::of).collect()))
    }
}

/// The roots of the mutable tree.
async fn tree(shared: &Shared) -> Result<Vec<Keeper>> {
    let Roots { roots, .. } = Roots::load(shared).await?;
    Ok(roots.into_iter().map(|root| Keeper::named(root.cid)).collect())
}
