//! Who keeps blocks: stored roots, and pins on what is none.

use super::{MAX_PAGE, Shared};
use crate::{
    block::Cid,
    error::Result,
    tier::{Pin, PinKind},
};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeper {
    /// Where it begins.
    pub cid: Cid,
    /// Whether it keeps what is below, too.
    pub recursive: bool,
    /// Whether some of it is still to come.
    pub pending: bool,
}

impl Keeper {
    /// A pin.
    pub fn of(pin: &Pin) -> Self {
        Keeper { cid: pin.cid, recursive: pin.kind == PinKind::Recursive, pending: pin.pending }
    }
}

/// All of them, by pages.
#[derive(Default)]
pub struct Keepers {
    root: Option<Cid>,
    pin: Option<Cid>,
    roots_ended: bool,
}

impl Keepers {
    /// The next of them; none are left when it is empty. Roots that are pinned come once.
    pub async fn next_page(&mut self, shared: &Shared) -> Result<Vec<Keeper>> {
        if !self.roots_ended {
            let page = shared.tier.roots(self.root.as_ref(), MAX_PAGE).await?;
            self.root = page.last().map(|last| last.root.cid);
            if !page.is_empty() {
                let keeper = |cid| Keeper { cid, recursive: true, pending: false };
                return Ok(page.into_iter().map(|stored| keeper(stored.root.cid)).collect());
            }
            self.roots_ended = true;
        }
        loop {
            let page = shared.tier.pins(self.pin.as_ref(), MAX_PAGE).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            self.pin = Some(last.cid);
            let mut keepers = Vec::new();
            for pin in page {
                if shared.tier.root(&pin.cid).await?.is_none() {
                    keepers.push(Keeper::of(&pin));
                }
            }
            if !keepers.is_empty() {
                return Ok(keepers);
            }
        }
    }
}
