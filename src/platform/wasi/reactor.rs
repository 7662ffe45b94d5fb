//! The executor for WASI 0.2: runs a future, and sleeps on the pollables of the host that it waits for.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::host::wasi::io::poll::{self, Pollable};

thread_local! {
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
}

/// A future that waits, and what for.
struct Waiting {
    pollable: Pollable,
    waker: Waker,
    state: Rc<Cell<State>>,
}

impl Waiting {
    fn wake(self) {
        self.state.set(State::Ready);
        self.waker.wake();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has no pollable.
    Idle,
    /// Its pollable is in the list.
    Listed,
    /// It was ready, or there was none.
    Ready,
}

/// Returns when what `subscribe` gives is ready; with none, when others have had their turn. The pollable is dropped before
/// this returns.
pub fn ready<F: FnMut() -> Option<Pollable> + Unpin>(subscribe: F) -> Ready<F> {
    Ready { subscribe, state: Rc::new(Cell::new(State::Idle)) }
}

/// See [`ready`].
pub struct Ready<F> {
    subscribe: F,
    state: Rc<Cell<State>>,
}

impl<F: FnMut() -> Option<Pollable> + Unpin> Future for Ready<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        match self.state.get() {
            State::Ready => return Poll::Ready(()),
            State::Listed => WAITING.with_borrow_mut(|list| {
                let own = list.iter_mut().find(|waiting| Rc::ptr_eq(&waiting.state, &self.state));
                own.into_iter().for_each(|own| own.waker.clone_from(waker));
            }),
            State::Idle => match (self.subscribe)() {
                Some(pollable) if !pollable.ready() => {
                    self.state.set(State::Listed);
                    let waiting = Waiting { pollable, waker: waker.clone(), state: self.state.clone() };
                    WAITING.with_borrow_mut(|list| list.push(waiting));
                }
                _ => {
                    self.state.set(State::Ready);
                    waker.wake_by_ref();
                }
            },
        }
        Poll::Pending
    }
}

impl<F> Drop for Ready<F> {
    fn drop(&mut self) {
        if self.state.get() == State::Listed {
            WAITING.with_borrow_mut(|list| list.retain(|waiting| !Rc::ptr_eq(&waiting.state, &self.state)));
        }
    }
}

/// Takes what was waited for last away, for a caller who will wait for it.
pub fn hand_over() -> Option<Pollable> {
    let waiting = WAITING.with_borrow_mut(Vec::pop)?;
    waiting.state.set(State::Idle);
    Some(waiting.pollable)
}

/// Set when a future wants to be polled again at once.
#[derive(Default)]
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end; none if it waits for nothing that the host could tell.
pub fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let again = Arc::new(Again::default());
    let waker = Waker::from(again.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        again.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        // One that goes on at once must not keep the others from what they wait for.
        if again.0.load(Ordering::Relaxed) {
            look();
        } else {
            wait()?;
        }
    }
}

/// Wakes who waits for something that is ready already.
fn look() {
    let woken: Vec<Waiting> =
        WAITING.with_borrow_mut(|list| list.extract_if(.., |waiting| waiting.pollable.ready()).collect());
    woken.into_iter().for_each(Waiting::wake);
}

/// Sleeps until something is ready, and wakes who waits for it.
fn wait() -> Option<()> {
    let woken = WAITING.with_borrow_mut(|list| {
        if list.is_empty() {
            return None;
        }
        let mut ready = poll::poll(&list.iter().map(|waiting| &waiting.pollable).collect::<Vec<_>>());
        ready.sort_unstable();
        Some(ready.into_iter().rev().map(|at| list.swap_remove(at as usize)).collect::<Vec<_>>())
    })?;
    woken.into_iter().for_each(Waiting::wake);
    Some(())
}

/// Polls a future once.
pub fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
