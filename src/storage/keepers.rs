//! Who keeps blocks: pins, stored roots, names, and the mutable tree.

use super::{MAX_PAGE, Shared, files::root::Roots, values::is_value, walk::Walked};
use crate::{
    block::Cid,
    error::Result,
    tier::{Pin, PinKind},
};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// Where it begins.
    pub cid: Cid,
    /// Whether it keeps what is below, too.
    pub recursive: bool,
    /// Whether some of it is still to come.
    pub pending: bool,
    /// Whether it is a pin, and not only a stored root.
    pub pinned: bool,
    /// Whether what is below it may never have been here: a stored value may link to anything, and keeps of that what is here.
    pub loose: bool,
}

impl Keeper {
    /// A pin.
    pub fn of(pin: &Pin) -> Self {
        Keeper {
            cid: pin.cid.clone(),
            recursive: pin.kind == PinKind::Recursive,
            pending: pin.pending,
            pinned: true,
            loose: false,
        }
    }

    /// A stored root.
    fn stored(cid: Cid) -> Self {
        let loose = is_value(&cid);
        Keeper { cid, recursive: true, pending: false, pinned: false, loose }
    }

    /// What a name, or the mutable tree, leads to.
    fn named(cid: Cid) -> Self {
        Keeper { cid, recursive: true, pending: true, pinned: false, loose: false }
    }

    /// Whether all that it needs is known by such a walk: what is still to come of a pin is not needed yet.
    pub fn knows(&self, walked: Walked) -> bool {
        match walked {
            Walked::Whole => true,
            Walked::Below => self.pending || self.loose,
            Walked::Missing => self.pending,
            Walked::Unreadable => false,
        }
    }

    /// Whether it lacks something when this block, which it reaches, is not held.
    pub fn needs(&self, cid: &Cid) -> bool {
        !self.pending && (!self.loose || *cid == self.cid)
    }
}

/// All of them, by pages: pins, then stored roots, pinned or not, then stored values, then pins that are pending, then
/// names, then the mutable tree. Those that need not be whole come last: a walk that has been below a node once does not
/// tell again what is missing there.
#[derive(Default)]
pub struct Keepers {
    stage: Stage,
    after: Option<After>,
    /// There are stored values.
    loose: bool,
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
    Loose,
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
                Stage::Roots | Stage::Loose => self.roots(shared).await?,
                Stage::Names => self.names(shared).await?,
                Stage::Tree => (None, tree(shared).await?),
                _ => self.pins(shared).await?,
            };
            if last.is_none() {
                self.stage = match self.stage {
                    Stage::Pins => Stage::Roots,
                    Stage::Roots if self.loose => Stage::Loose,
                    Stage::Roots | Stage::Loose => Stage::Pending,
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

    async fn roots(&mut self, shared: &Shared) -> Result<(Option<After>, Vec<Keeper>)> {
        let page = shared.tier.roots(self.cid(), MAX_PAGE).await?;
        let last = page.last().map(|last| After::Cid(last.root.cid.clone()));
        // Pinned ones as well: one may have been pinned since the pins were listed.
        let mut keepers: Vec<Keeper> = page.iter().map(|stored| Keeper::stored(stored.root.cid.clone())).collect();
        self.loose |= keepers.iter().any(|keeper| keeper.loose);
        keepers.retain(|keeper| keeper.loose == (self.stage == Stage::Loose));
        Ok((last, keepers))
    }

    async fn names(&self, shared: &Shared) -> Result<(Option<After>, Vec<Keeper>)> {
        let after = match &self.after {
            Some(After::Name(name)) => Some(name.as_str()),
            _ => None,
        };
        let page = shared.names("", after, MAX_PAGE).await?;
        let keepers = page.iter().map(|named| Keeper::named(named.cid.clone())).collect();
        Ok((page.into_iter().last().map(|last| After::Name(last.name)), keepers))
    }

    async fn pins(&self, shared: &Shared) -> Result<(Option<After>, Vec<Keeper>)> {
        let page = shared.tier.pins(self.cid(), MAX_PAGE).await?;
        let last = page.last().map(|last| After::Cid(last.cid.clone()));
        let wanted = |pin: &Pin| pin.pending == (self.stage == Stage::Pending);
        Ok((last, page.iter().filter(|pin| wanted(pin)).map(Keeper::of).collect()))
    }
}

/// The roots of the mutable tree.
async fn tree(shared: &Shared) -> Result<Vec<Keeper>> {
    let Roots { roots, .. } = Roots::load(shared).await?;
    Ok(roots.into_iter().map(|root| Keeper::named(root.cid)).collect())
}
