//! What software to come wrote is refused, and not taken for damage.

use crate::error::{Error, Result};

/// An error if a file begins as `magic` does, but with another version at its end. One bit may have flipped there, which is
/// damage like any other; so the next version is 2, and not 3.
pub fn refuse_others(start: &[u8], magic: &[u8; 8]) -> Result<()> {
    let [what @ .., ours] = magic;
    match start.strip_prefix(what).and_then(<[u8]>::first) {
        Some(version) if (version ^ ours).count_ones() > 1 => Err(Error::Unsupported(format!(
            "the store has files of version {version}, and this is version {ours}: open it with what wrote it"
        ))),
        _ => Ok(()),
    }
}
