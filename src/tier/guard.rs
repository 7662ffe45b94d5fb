//! Something that is held until it is dropped.

use std::fmt;

/// Ends what it stands for when it is dropped.
#[derive(Default)]
#[must_use = "it ends when it is dropped"]
pub struct Guard(Option<Box<dyn FnOnce()>>);

impl Guard {
    /// One that does this at its end.
    pub fn new(end: impl FnOnce() + 'static) -> Self {
        Guard(Some(Box::new(end)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}
