//! Commands about copies elsewhere.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use serde_json::{Map, Value, json};

use super::{
    commands::{each, time},
    output::{Output, size},
};
use crate::{
    block,
    error::{Error, OfflineReason, Result},
    platform::wasi::run as wait,
    storage::{Delivery, DeliveryState, MAX_PAGE, OnDelivery, Replica, ReplicationPolicy, Storage, SyncOptions, Why},
};

/// What to do about copies.
pub enum OutboxCommand {
    /// Do what is due, and wait so many milliseconds for what is due later.
    Sync {
        patience: u64,
    },
    List,
    Replicate {
        cids: Vec<String>,
        policy: ReplicationPolicy,
    },
    Replicas {
        cid: String,
    },
    Release {
        cids: Vec<String>,
        backend: Option<String>,
    },
    /// All copies, where no CID is named.
    Audit {
        cids: Vec<String>,
    },
}

pub fn run(storage: &Storage, command: OutboxCommand, output: &Rc<Output>) -> Result<()> {
    match command {
        OutboxCommand::Sync { patience } => sync(storage, patience, output),
        OutboxCommand::List => list(storage, output),
        OutboxCommand::Replicate { cids, policy } => {
            each(&cids, "queued", output, |cid| wait(storage.replicate(cid, &policy)))
        }
        OutboxCommand::Replicas { cid } => replicas(storage, &cid, output),
        OutboxCommand::Release { cids, backend } => {
            each(&cids, "released", output, |cid| wait(storage.release(cid, backend.as_deref())))
        }
        OutboxCommand::Audit { cids } if cids.is_empty() => wait(storage.audit(None)),
        OutboxCommand::Audit { cids } => each(&cids, "queued", output, |cid| wait(storage.audit(Some(cid)))),
    }
}

/// Does what is due, and tells of each copy as it comes on; an error when some were given up, or nobody may be asked.
fn sync(storage: &Storage, patience: u64, output: &Rc<Output>) -> Result<()> {
    let on_delivery = Some(teller(output.clone()));
    let report = wait(storage.sync(SyncOptions { wait: patience, on_delivery }))?;
    let object = json!({
        "sent": report.sent, "verified": report.verified, "lost": report.lost, "removed": report.removed,
        "failed": report.failed, "waiting": report.waiting, "next": report.next,
        "offline": report.offline.map(OfflineReason::name),
    });
    let mut text = format!("sent {}; {} copies verified", size(report.sent), report.verified);
    for (count, what) in [(report.lost, "lost"), (report.removed, "removed"), (report.failed, "given up")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text += &format!("; {} wait", report.waiting);
    if let Some(next) = report.next {
        text += &format!(", the next is due {}", time(next));
    }
    output.line(object, &text)?;
    match report.offline {
        Some(reason) => Err(Error::Denied(format!("no backend may be asked: {reason}"))),
        None if report.failed > 0 => {
            let problem =
                format!("{} deliveries were given up; `outbox` says why, `replicate` tries again", report.failed);
            Err(Error::Io(problem))
        }
        None => Ok(()),
    }
}

/// Tells when a delivery has got to another state, or has met with something.
fn teller(output: Rc<Output>) -> OnDelivery {
    let told = RefCell::new(HashMap::new());
    Rc::new(move |cid, backend, delivery| {
        let key = (cid.to_string(), backend.to_owned());
        let now = delivery.map(|delivery| (delivery.state, delivery.setback.clone()));
        let before = told.borrow_mut().insert(key, now.clone());
        match delivery {
            Some(_) if before == Some(now) => {}
            Some(delivery) => output.aside(object(delivery), &line(delivery)),
            None => {
                let was_to_go = matches!(before, Some(Some((DeliveryState::Removing, _))));
                let end = if was_to_go { "removed" } else { "verified" };
                let object = json!({ "cid": cid.to_string(), "backend": backend, "state": end });
                output.aside(object, &format!("{cid} {backend} {end}"));
            }
        }
    })
}

/// Lists what is still to be done.
fn list(storage: &Storage, output: &Output) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = wait(storage.outbox(after.as_deref(), MAX_PAGE))?;
        for delivery in &page.deliveries {
            output.line(object(delivery), &line(delivery))?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Tells where a root stands.
fn replicas(storage: &Storage, cid: &str, output: &Output) -> Result<()> {
    let replication = wait(storage.replication(&block::parse(cid)?))?;
    let whole = json!({
        "cid": cid, "replicated": replication.is_replicated(), "wanted": replication.wanted,
        "replicas": replication.replicas.iter().map(copy).collect::<Vec<_>>(),
        "deliveries": replication.deliveries.iter().map(object).collect::<Vec<_>>(),
    });
    let mut text = match (replication.wanted, replication.is_replicated()) {
        (None, _) => "nothing was promised".to_owned(),
        (Some(wanted), true) => format!("replicated: {} of {wanted} copies proven", replication.replicas.len()),
        (Some(wanted), false) => format!("not replicated: {} of {wanted} copies proven", replication.replicas.len()),
    };
    for Replica { backend, verified, read: (blocks, bytes), all, details, .. } in &replication.replicas {
        let share = if *all { "all of it" } else { "a sample" };
        text += &format!("\n{backend} verified {}, {share}: {blocks} blocks, {}", time(*verified), size(*bytes));
        text += &told(details);
    }
    for delivery in &replication.deliveries {
        text += &format!("\n{}", line(delivery));
    }
    output.line(whole, &text)
}

fn copy(replica: &Replica) -> Value {
    let Replica { backend, stored, verified, read: (blocks, bytes), all, details } = replica;
    json!({
        "backend": backend, "stored": stored, "verified": verified, "blocks": blocks, "bytes": bytes, "all": all,
        "details": map(details),
    })
}

fn object(delivery: &Delivery) -> Value {
    let setback = delivery.setback.as_ref().map(|setback| {
        let (place, why) = what(&setback.why);
        json!({ "place": place, "why": why, "failures": setback.failures, "next": setback.next })
    });
    json!({
        "cid": delivery.cid.to_string(), "backend": delivery.backend, "state": delivery.state.name(),
        "sent": delivery.sent, "queued": delivery.queued, "setback": setback, "details": map(&delivery.details),
    })
}

fn line(delivery: &Delivery) -> String {
    let mut line = format!("{} {} {}", delivery.cid, delivery.backend, delivery.state.name());
    if delivery.sent > 0 {
        line += &format!(", {} sent", size(delivery.sent));
    }
    if let Some(setback) = &delivery.setback {
        line += &format!("; {}", what(&setback.why).1);
        line += &setback.next.map_or_else(String::new, |next| format!("; tried again {}", time(next)));
    }
    line + &told(&delivery.details)
}

fn what(why: &Why) -> (&'static str, String) {
    match why {
        Why::Here(why) => ("here", why.clone()),
        Why::There(failure) => ("there", failure.to_string()),
    }
}

fn told(details: &[(&'static str, String)]) -> String {
    details.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

fn map(details: &[(&'static str, String)]) -> Map<String, Value> {
    details.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect()
}
