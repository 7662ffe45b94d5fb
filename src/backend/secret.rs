//! What is shown to nobody.

use std::fmt;

use crate::{
    error::{Error, Result as Outcome},
    remote::Failure,
};

/// A token, or a password: what it says is in no log, no error, no record and no status.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// What can stand in a header: visible ASCII characters, one at least.
    pub fn new(secret: impl Into<String>) -> Outcome<Self> {
        let secret = secret.into();
        if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Error::InvalidArgument("a secret is one or more visible ASCII characters, no blanks".into()));
        }
        Ok(Secret(secret))
    }

    /// It, for those it is meant for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// A failure that does not say this.
pub fn without(failure: Failure, secret: &str) -> Failure {
    let cut = |said: String| if secret.is_empty() { said } else { said.replace(secret, "…") };
    match failure {
        Failure::Refused(said) => Failure::Refused(cut(said)),
        Failure::Unsupported(said) => Failure::Unsupported(cut(said)),
        Failure::Lied(said) => Failure::Lied(cut(said)),
        Failure::Broken(said) => Failure::Broken(cut(said)),
        Failure::Unreachable(said) => Failure::Unreachable(cut(said)),
        Failure::Denied(said) => Failure::Denied(cut(said)),
        other @ (Failure::NotFound | Failure::Busy(_) | Failure::Silent) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_by_nothing_and_are_no_two_headers() {
        let secret = Secret::new("abc.def-123").unwrap();
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
        let said = without(Failure::Refused("no abc.def-123, nor abc.def-123".into()), secret.reveal());
        assert_eq!(said, Failure::Refused("no …, nor …".into()));
        for wrong in ["", "a b", "a\r\nhost: b", "ä"] {
            let refused = Secret::new(wrong).unwrap_err().to_string();
            assert!(wrong.is_empty() || !refused.contains(wrong), "{refused}");
        }
    }
}
