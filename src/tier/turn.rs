//! One task at a time, moved along by everybody who waits for it.
//!
//! A future stands still when nobody polls it. Were such work done under a lock, by the caller that got it, a caller that
//! is not polled for a while (an import whose source stalls) would hold up everybody else.

use std::{cell::RefCell, future::Future};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};

/// A task under way, to be awaited by any number of callers.
pub type Task<T> = Shared<LocalBoxFuture<'static, T>>;

/// The task under way, if there is one.
#[derive(Debug)]
pub struct Turn<T: Clone> {
    task: RefCell<Option<Task<T>>>,
}

impl<T: Clone> Default for Turn<T> {
    fn default() -> Self {
        Turn { task: RefCell::new(None) }
    }
}

impl<T: Clone + 'static> Turn<T> {
    /// The task that has not ended yet.
    pub fn under_way(&self) -> Option<Task<T>> {
        self.task.borrow().clone().filter(|task| task.peek().is_none())
    }

    /// The task under way, or this one.
    pub fn join_or_begin(&self, task: impl Future<Output = T> + 'static) -> Task<T> {
        self.under_way().unwrap_or_else(|| {
            let task = task.boxed_local().shared();
            self.task.replace(Some(task.clone()));
            task
        })
    }
}
