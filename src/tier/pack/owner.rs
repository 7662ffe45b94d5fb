//! One owner at a time. WASI has no locks and no process numbers, so ownership is a lease: a file with the owner's token and
//! the time of its last sign of life.
//!
//! A lease can be overtaken, so the owner looks at it before each write: the token tells whether it is still its own.

use std::{
    cell::Cell,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::FutureExt;

use crate::{
    error::{Error, Result},
    platform::{Clock, files::Directory},
};

const NAME: &str = "owner";
const MAGIC: &[u8; 8] = b"IPKOWN\0\x01";
const LEASE_BYTES: usize = 24;

/// An owner that gave no sign of life for so many milliseconds is taken for dead. Long enough for the longest call that
/// does not write (a checkpoint of some million blocks) and short enough to be waited for after a crash.
pub const OWNER_TIMEOUT: u64 = 10_000;

/// An owner gives a sign of life when it is called and the last one is older than this, in milliseconds.
const RENEWED_AFTER: u64 = 2_000;

/// A store's ownership; given back when it is dropped.
pub struct Owner {
    directory: Rc<dyn Directory>,
    clock: Rc<dyn Clock>,
    token: u64,
    /// The last sign of life.
    signed: Cell<u64>,
    /// Whether there is a lease: not where the host keeps others out, and not after the end.
    leased: Cell<bool>,
}

struct Lease {
    token: u64,
    signed: u64,
}

impl Owner {
    /// Becomes the owner, or says who is. `take_over`: whatever the one before says.
    pub async fn claim(directory: Rc<dyn Directory>, clock: Rc<dyn Clock>, take_over: bool) -> Result<Owner> {
        let lease = read(directory.as_ref()).await?;
        let age = lease.map(|lease| clock.now().abs_diff(lease.signed));
        if let Some(age) = age.filter(|age| *age < OWNER_TIMEOUT && !take_over) {
            return Err(Error::Locked(format!(
                "another owner was last seen {:.1} s ago; if it is gone, open again in {} s, or take the store over",
                age as f64 / 1000.0,
                (OWNER_TIMEOUT - age).div_ceil(1000),
            )));
        }
        let owner =
            Owner { token: token(clock.as_ref()), directory, clock, signed: Cell::new(0), leased: Cell::new(true) };
        owner.sign().await?;
        // Of two that come at the same time, the one that wrote last has it.
        if owner.holds().await? { Ok(owner) } else { Err(overtaken()) }
    }

    /// The owner where the host itself lets nobody else in.
    pub fn alone(directory: Rc<dyn Directory>, clock: Rc<dyn Clock>) -> Owner {
        Owner { token: 0, directory, clock, signed: Cell::new(0), leased: Cell::new(false) }
    }

    /// Whether the lease is this owner's, and renewed. False: nobody has it. [`Error::Locked`]: another one has.
    pub async fn holds(&self) -> Result<bool> {
        if !self.leased.get() {
            return Ok(true);
        }
        match read(self.directory.as_ref()).await? {
            Some(lease) if lease.token == self.token => {
                if self.is_due() {
                    self.sign().await?;
                }
                Ok(true)
            }
            Some(_) => Err(overtaken()),
            None => Ok(false),
        }
    }

    /// Gives a sign of life, if the last one is old and the lease still this owner's.
    pub async fn renew(&self) {
        if self.is_due() {
            // Who only reads need not own it.
            let _ = self.holds().await;
        }
    }

    /// Writes the lease.
    pub async fn sign(&self) -> Result<()> {
        let now = self.clock.now();
        let lease = [MAGIC.as_slice(), &self.token.to_le_bytes(), &now.to_le_bytes()].concat();
        self.directory.open(NAME).await?.write_at(0, &lease)?;
        self.signed.set(now);
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.leased.get() && self.clock.now().abs_diff(self.signed.get()) >= RENEWED_AFTER
    }

    /// Gives the lease back.
    pub async fn leave(&self) -> Result<()> {
        if self.leased.get() && self.holds().await? {
            self.directory.remove(NAME).await?;
        }
        self.leased.set(false);
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The files of WASI answer at once; where they do not, the lease grows old.
        let _ = self.leave().now_or_never();
    }
}

/// The lease; none if there is none, or one that was torn when it was written first.
async fn read(directory: &dyn Directory) -> Result<Option<Lease>> {
    let bytes = directory.open(NAME).await?.read_at(0, LEASE_BYTES)?;
    let parse = || {
        let (token, signed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        Some(Lease { token: u64::from_le_bytes(*token), signed: u64::from_le_bytes(signed.try_into().ok()?) })
    };
    Ok(parse())
}

/// A number that no other owner has: there is no randomness in world `local`, but time, and places in memory.
fn token(clock: &dyn Clock) -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let place = Box::new(0u8);
    let mixed = (&raw const *place as u64).rotate_left(40) ^ COUNT.fetch_add(1, Ordering::Relaxed).rotate_left(20);
    (clock.nanoseconds() ^ mixed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

fn overtaken() -> Error {
    Error::Locked("another owner has taken it over; open it again when that one is done".into())
}
