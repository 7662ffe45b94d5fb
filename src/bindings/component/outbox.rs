//! What goes to backends, and how far it has come.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    Component, OpenStore,
    world::exports::ipfs_kit::storage::{
        outbox::{
            Delivery, DeliveryState, Draining, Guest, GuestDraining, OutboxPage, Progress, Replica, Replication,
            Setback, SyncReport, Trouble,
        },
        storage::HandleBorrow,
    },
};
use crate::{
    bindings::wit::{Error, OfflineReason, ReplicationPolicy},
    block,
    error::Result as Outcome,
    platform::wasi::run,
    storage::{self, SyncOptions, Why},
};

impl Guest for Component {
    type Draining = OpenDraining;

    fn sync(store: HandleBorrow<'_>, wait: u64) -> Draining {
        let storage = store.get::<OpenStore>().storage.clone();
        let steps = Steps::default();
        let told = steps.clone();
        let on_delivery: storage::OnDelivery = Rc::new(move |cid, backend, delivery| {
            let delivery = delivery.cloned().map(Delivery::from);
            told.borrow_mut().push_back(Progress { cid: cid.to_string(), backend: backend.to_owned(), delivery });
        });
        let options = SyncOptions { wait, on_delivery: Some(on_delivery) };
        let under_way = async move { storage.sync(options).await }.boxed_local();
        Draining::new(OpenDraining(RefCell::new(State { under_way: Some(under_way), steps, report: None })))
    }

    fn replicate(store: HandleBorrow<'_>, cid: String, policy: ReplicationPolicy) -> Result<(), Error> {
        let cid = block::parse(&cid)?;
        Ok(run(store.get::<OpenStore>().storage.replicate(&cid, &policy.into()))?)
    }

    fn release(store: HandleBorrow<'_>, cid: String, backend: Option<String>) -> Result<(), Error> {
        let cid = block::parse(&cid)?;
        Ok(run(store.get::<OpenStore>().storage.release(&cid, backend.as_deref()))?)
    }

    fn audit(store: HandleBorrow<'_>, cid: Option<String>) -> Result<(), Error> {
        let cid = cid.map(|cid| block::parse(&cid)).transpose()?;
        Ok(run(store.get::<OpenStore>().storage.audit(cid.as_ref()))?)
    }

    fn replication_of(store: HandleBorrow<'_>, cid: String) -> Result<Replication, Error> {
        let cid = block::parse(&cid)?;
        Ok(run(store.get::<OpenStore>().storage.replication(&cid))?.into())
    }

    fn list_outbox(store: HandleBorrow<'_>, after: Option<String>, limit: u32) -> Result<OutboxPage, Error> {
        let page = run(store.get::<OpenStore>().storage.outbox(after.as_deref(), limit as usize))?;
        let deliveries = page.deliveries.into_iter().map(Delivery::from).collect();
        Ok(OutboxPage { deliveries, next: page.next })
    }
}

type Steps = Rc<RefCell<VecDeque<Progress>>>;

/// The queue, being drained.
pub struct OpenDraining(RefCell<State>);

struct State {
    /// None when it is at its end.
    under_way: Option<LocalBoxFuture<'static, Outcome<storage::SyncReport>>>,
    /// Steps that were made and not asked for yet.
    steps: Steps,
    report: Option<storage::SyncReport>,
}

impl State {
    /// Goes on until there is a step to be told, or nothing more to do.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome<Option<Progress>>> {
        if let Some(under_way) = self.under_way.as_mut().filter(|_| self.steps.borrow().is_empty())
            && let Poll::Ready(ended) = under_way.poll_unpin(context)
        {
            self.under_way = None;
            self.report = Some(ended?);
        }
        match self.steps.borrow_mut().pop_front() {
            None if self.under_way.is_some() => Poll::Pending,
            step => Poll::Ready(Ok(step)),
        }
    }
}

impl GuestDraining for OpenDraining {
    fn step(&self) -> Result<Option<Progress>, Error> {
        let state = &mut *self.0.borrow_mut();
        Ok(run(poll_fn(|context| state.poll(context)))?)
    }

    fn report(&self) -> Option<SyncReport> {
        self.0.borrow().report.clone().map(SyncReport::from)
    }
}

fn owned(details: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl From<storage::Delivery> for Delivery {
    fn from(delivery: storage::Delivery) -> Self {
        let setback = delivery.setback.map(|storage::Setback { why, failures, next }| {
            let why = match why {
                Why::Here(why) => Trouble::Here(why),
                Why::There(failure) => Trouble::There(failure.to_string()),
            };
            Setback { why, failures, next }
        });
        Delivery {
            cid: delivery.cid.to_string(),
            backend: delivery.backend,
            state: match delivery.state {
                storage::DeliveryState::Queued => DeliveryState::Queued,
                storage::DeliveryState::Sending => DeliveryState::Sending,
                storage::DeliveryState::Stored => DeliveryState::Stored,
                storage::DeliveryState::Verified => DeliveryState::Verified,
                storage::DeliveryState::Failed => DeliveryState::Failed,
                storage::DeliveryState::Removing => DeliveryState::Removing,
            },
            sent: delivery.sent,
            queued: delivery.queued,
            setback,
            details: owned(delivery.details),
        }
    }
}

impl From<storage::Replica> for Replica {
    fn from(replica: storage::Replica) -> Self {
        let storage::Replica { backend, stored, verified, read: (blocks, bytes), all, details } = replica;
        Replica { backend, stored, verified, blocks, bytes, all, details: owned(details) }
    }
}

impl From<storage::Replication> for Replication {
    fn from(replication: storage::Replication) -> Self {
        Replication {
            replicated: replication.is_replicated(),
            wanted: replication.wanted.map(|wanted| wanted as u32),
            replicas: replication.replicas.into_iter().map(Replica::from).collect(),
            deliveries: replication.deliveries.into_iter().map(Delivery::from).collect(),
        }
    }
}

impl From<storage::SyncReport> for SyncReport {
    fn from(report: storage::SyncReport) -> Self {
        let storage::SyncReport { sent, verified, lost, removed, failed, waiting, next, offline } = report;
        let offline = offline.map(OfflineReason::from);
        SyncReport { sent, verified, lost, removed, failed, waiting, next, offline }
    }
}
