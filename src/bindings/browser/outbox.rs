//! What goes to backends, and how far it has come.

use std::rc::Rc;

use js_sys::{Function, Object, Promise};
use wasm_bindgen::prelude::*;

use super::{
    Cancel, Engine, cancellable,
    convert::{Options, list, number, texts},
    promise,
};
use crate::{
    block,
    error::{Error, OfflineReason, Result},
    platform::browser::object,
    storage::{
        ArchiveRule, Delivery, OutboxPage, ReadBack, Replica, Replication, ReplicationPolicy, SyncOptions, SyncReport,
        Why,
    },
};

#[wasm_bindgen]
impl Engine {
    /// Does what is due for the backends.
    pub fn sync(&self, wait: f64, told: Option<Function>, cancel: &Cancel) -> Promise {
        let storage = self.storage.clone();
        let on_delivery = told.map(|told| -> crate::storage::OnDelivery {
            Rc::new(move |cid, backend, delivery| {
                let cid = cid.to_string();
                let delivery = delivery.cloned();
                // What a listener throws is its own affair.
                let _ = told.call3(&JsValue::UNDEFINED, &cid.into(), &backend.into(), &delivery.into());
            })
        });
        cancellable(cancel, async move { storage.sync(SyncOptions { wait: wait as u64, on_delivery }).await })
    }

    /// Queues a root for the backends of a policy.
    pub fn replicate(&self, cid: String, policy: JsValue) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            let policy = read_policy(policy)?;
            storage.replicate(&block::parse(&cid)?, &policy).await.map(|()| JsValue::UNDEFINED)
        })
    }

    /// Has the copies of a root removed, at one backend or at all.
    pub fn release(&self, cid: String, backend: Option<String>) -> Promise {
        let storage = self.storage.clone();
        promise(
            async move { storage.release(&block::parse(&cid)?, backend.as_deref()).await.map(|()| JsValue::UNDEFINED) },
        )
    }

    /// Queues the copies of a root, or all, to be read back again.
    pub fn audit(&self, cid: Option<String>) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            let cid = cid.map(|cid| block::parse(&cid)).transpose()?;
            storage.audit(cid.as_ref()).await.map(|()| JsValue::UNDEFINED)
        })
    }

    /// Where a root stands.
    pub fn replication(&self, cid: String) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.replication(&block::parse(&cid)?).await })
    }

    /// A page of what is still to be done.
    #[wasm_bindgen(js_name = listOutbox)]
    pub fn list_outbox(&self, after: Option<String>, limit: u32) -> Promise {
        let storage = self.storage.clone();
        promise(async move { storage.outbox(after.as_deref(), limit as usize).await })
    }
}

/// A policy among options.
pub fn policy(given: &Options, name: &str) -> Result<ReplicationPolicy> {
    let policy = given.get(name, "an object", |value| value.is_object().then_some(value))?;
    read_policy(policy.unwrap_or_default())
}

fn read_policy(value: JsValue) -> Result<ReplicationPolicy> {
    let known = ["backends", "copies", "readBack", "evictWith", "pin", "auditDays", "archive", "localDays"];
    let given = Options::known(value, &known)?;
    let whole = |name| given.number(name).map(|number| number.map(|number| number as u32));
    let read_back = |value: JsValue| match value.as_f64() {
        Some(sample) => Some(ReadBack::Sample(sample as u32)),
        None => (value.as_string()? == "all").then_some(ReadBack::All),
    };
    let archive = given.get("archive", "an object", |value| value.dyn_into::<Object>().ok())?;
    let archive = archive.map(|archive| {
        let given = Options::known(archive.into(), &["backend", "days", "moves"])?;
        let missing = || Error::InvalidArgument("an archive has a backend and a number of days".into());
        let (backend, days) = given.text("backend")?.zip(given.number("days")?).ok_or_else(missing)?;
        Ok(ArchiveRule { backend, days: days as u32, moves: given.flag("moves")?.unwrap_or_default() })
    });
    Ok(ReplicationPolicy {
        backends: given.get("backends", "a list of names", texts)?,
        copies: whole("copies")?,
        read_back: given.get("readBack", "a number or all", read_back)?,
        evict_with: whole("evictWith")?,
        pin: given.flag("pin")?,
        audit_days: whole("auditDays")?,
        archive: archive.transpose()?,
        local_days: whole("localDays")?,
    })
}

fn details(details: Vec<(&'static str, String)>) -> JsValue {
    let properties: Vec<(&str, JsValue)> = details.into_iter().map(|(name, value)| (name, value.into())).collect();
    object(&properties)
}

impl From<Delivery> for JsValue {
    fn from(delivery: Delivery) -> Self {
        let setback = delivery.setback.map(|setback| {
            let (place, why) = match setback.why {
                Why::Here(why) => ("here", why),
                Why::There(failure) => ("there", failure.to_string()),
            };
            object(&[
                ("place", place.into()),
                ("why", why.into()),
                ("failures", setback.failures.into()),
                ("next", setback.next.map(number).into()),
            ])
        });
        object(&[
            ("cid", delivery.cid.to_string().into()),
            ("backend", delivery.backend.into()),
            ("state", delivery.state.name().into()),
            ("sent", number(delivery.sent)),
            ("queued", number(delivery.queued)),
            ("setback", setback.into()),
            ("details", details(delivery.details)),
        ])
    }
}

impl From<Replica> for JsValue {
    fn from(replica: Replica) -> Self {
        let (blocks, bytes) = replica.read;
        object(&[
            ("backend", replica.backend.into()),
            ("stored", number(replica.stored)),
            ("verified", number(replica.verified)),
            ("blocks", number(blocks)),
            ("bytes", number(bytes)),
            ("all", replica.all.into()),
            ("details", details(replica.details)),
        ])
    }
}

impl From<Replication> for JsValue {
    fn from(replication: Replication) -> Self {
        let replicated = replication.is_replicated();
        object(&[
            ("replicated", replicated.into()),
            ("wanted", replication.wanted.map(|wanted| number(wanted as u64)).into()),
            ("replicas", list(replication.replicas)),
            ("deliveries", list(replication.deliveries)),
        ])
    }
}

impl From<OutboxPage> for JsValue {
    fn from(page: OutboxPage) -> Self {
        object(&[("deliveries", list(page.deliveries)), ("next", page.next.into())])
    }
}

impl From<SyncReport> for JsValue {
    fn from(report: SyncReport) -> Self {
        object(&[
            ("sent", number(report.sent)),
            ("verified", number(report.verified)),
            ("lost", number(report.lost)),
            ("removed", number(report.removed)),
            ("failed", number(report.failed)),
            ("waiting", number(report.waiting)),
            ("next", report.next.map(number).into()),
            ("offline", report.offline.map(OfflineReason::name).into()),
        ])
    }
}
