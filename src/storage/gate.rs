//! One task at a time, moved along by everybody who waits for its end, as in `tier/turn.rs`.
//!
//! Unlike a turn it does not keep its task: one that nobody waits for any more ends.

use std::{cell::RefCell, future::Future};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, WeakShared},
};

use crate::error::Result;

type Task = LocalBoxFuture<'static, Result<()>>;

/// Lets one task through at a time. A lock would be handed to a caller who may not be polled, and be held by one.
#[derive(Default)]
pub struct Gate {
    task: RefCell<Option<WeakShared<Task>>>,
}

impl Gate {
    /// Returns when no task is under way.
    pub async fn clear(&self) {
        loop {
            let task = self.task.borrow().as_ref().and_then(WeakShared::upgrade);
            match task.filter(|task| task.peek().is_none()) {
                Some(under_way) => _ = under_way.await,
                None => return,
            }
        }
    }

    /// Does this when no other task is under way.
    pub async fn pass(&self, task: impl Future<Output = Result<()>> + 'static) -> Result<()> {
        self.clear().await;
        let task = task.boxed_local().shared();
        self.task.replace(task.downgrade());
        task.await
    }
}
