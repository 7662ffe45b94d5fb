//! Commands that look after a store: checking it, and moving an old one in.

use std::rc::Rc;

use serde_json::{Value, json};

use super::{
    output::{Output, size},
    trees,
};
use crate::{
    error::{Error, Result},
    platform::wasi::{files::WasiDirectory, run as wait},
    storage::{CollectOptions, CollectReport, Imported, Report, Storage, VerifyOptions},
};

/// Checks the store; an error when something is wrong, and was not repaired.
pub fn verify(storage: &Storage, options: VerifyOptions, output: &Output) -> Result<()> {
    let mut check = storage.check(options)?;
    while let Some(progress) = wait(check.step())? {
        output.bar(progress.blocks, progress.total, || format!("{} blocks", progress.total));
    }
    output.clear_progress();
    let report = check.report();
    output.line(whole(report), &summary(report))?;
    if report.is_sound() {
        return Ok(());
    }
    let found = report.tallies().map(|(_, tally)| tally.found - tally.repaired).iter().sum::<u64>();
    Err(Error::Corrupt { cid: None, detail: format!("{found} faults were found and not repaired") })
}

/// Drops what nothing reaches, or tells what would go; an error when something stands in the way.
pub fn collect(storage: &Storage, dry_run: bool, output: &Output) -> Result<()> {
    let mut collection = storage.collection(CollectOptions { dry_run })?;
    while let Some(progress) = wait(collection.step())? {
        output.bar(progress.examined, progress.held, || format!("{} blocks", progress.held));
    }
    output.clear_progress();
    let report = collection.report();
    let verb = if dry_run { "would free" } else { "freed" };
    let mut text = format!("{verb}: {} blocks, {}", report.freed_blocks, size(report.freed_bytes));
    if !dry_run {
        text += &format!("\ngiven back: {}", size(report.given_back));
    }
    text += &format!(
        "\nkept: {} blocks that are pinned, {} of stored files, {} in use",
        report.pinned, report.stored, report.in_use
    );
    if report.postponed {
        text += "\nnot all of it: too much was going on";
    }
    output.line(collected(report), &text)?;
    match report.obstacles.first() {
        None => Ok(()),
        Some(root) => Err(Error::corrupt(
            root.clone(),
            "part of it is missing or cannot be read, so nothing was dropped: `verify \
            --repair` it, or `rm` it",
        )),
    }
}

/// A report of a collection, for programs.
pub fn collected(report: &CollectReport) -> Value {
    let obstacles: Vec<String> = report.obstacles.iter().map(ToString::to_string).collect();
    json!({
        "dry_run": report.dry_run, "began": report.began, "ended": report.ended, "freed_blocks": report.freed_blocks,
        "freed_bytes": report.freed_bytes, "given_back": report.given_back, "pinned": report.pinned,
        "stored": report.stored, "in_use": report.in_use, "obstacles": obstacles, "postponed": report.postponed,
    })
}

fn whole(report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let some: Vec<String> = finding.some.iter().map(ToString::to_string).collect();
            json!({
                "fault": finding.fault.name(), "cid": finding.cid.as_ref().map(ToString::to_string), "found": finding.found,
                "repaired": finding.repaired, "some": some, "detail": finding.detail,
            })
        })
        .collect();
    let mut object = json!({
        "sound": report.is_sound(), "seed": report.seed, "blocks": report.blocks, "checked": report.checked,
        "bytes": report.bytes, "keepers": report.keepers, "sizes": report.sizes,
        "figures_compared": report.figures_compared, "unreached": report.unreached,
        "unreached_bytes": report.unreached_bytes, "findings": findings,
    });
    for (fault, tally) in report.tallies() {
        if let Some(object) = object.as_object_mut() {
            object.insert(fault.name().into(), json!({ "found": tally.found, "repaired": tally.repaired }));
        }
    }
    object
}

fn summary(report: &Report) -> String {
    let mut text = format!("checked: {} of {} blocks, {}", report.checked, report.blocks, size(report.bytes));
    if report.checked < report.blocks {
        text += &format!(" (seed {})", report.seed);
    }
    text += &format!("\nwalked: {} roots and pins\n", report.keepers);
    text += &match (report.unreached, report.unreached_bytes) {
        (Some(blocks), Some(bytes)) => format!("unreached: {blocks} blocks, {}", size(bytes)),
        (Some(blocks), None) => format!("unreached: {blocks} blocks"),
        (None, _) => "unreached: not known".to_owned(),
    };
    for (fault, tally) in report.tallies().iter().filter(|(_, tally)| tally.found > 0) {
        text += &format!("\n{}: {}, {} of them repaired", fault.name(), tally.found, tally.repaired);
    }
    for finding in &report.findings {
        let cid = finding.cid.as_ref().map_or_else(|| "the store".to_owned(), ToString::to_string);
        text += &format!("\n  {} {cid}: {}", finding.fault.name(), finding.detail);
        for some in &finding.some {
            text += &format!("\n    {some}");
        }
    }
    text
}

/// Imports an old cache, and tells of each key as soon as it is stored; an error when one could not be.
pub fn import_legacy(storage: &Storage, directory: &str, output: &Output) -> Result<()> {
    let folder = Rc::new(WasiDirectory::existing(directory)?);
    let mut import = wait(storage.import_legacy(folder))?;
    let mut failed = None;
    while let Some(one) = wait(async { Ok(import.next().await) })? {
        let Imported { key, stored, changed, ignored } = one;
        match stored {
            Ok(stored) => {
                let mut object = trees::object(&stored.clone().into());
                if let Some(object) = object.as_object_mut() {
                    object.insert("key".into(), key.as_str().into());
                    object.insert("changed".into(), changed.into());
                    object.insert("ignored".into(), ignored.as_deref().into());
                }
                let name = stored.root.filename.as_deref().unwrap_or_default();
                output.line(object, format!("{key} {} {name}", stored.root.cid).trim_end())?;
                if changed {
                    output.remark(&format!("{key}: its bytes have changed since it got its key"));
                }
                if let Some(why) = ignored {
                    output.remark(&format!("{key}: without its name and pin: {why}"));
                }
            }
            Err(error) => {
                let object = json!({ "key": key, "error": { "code": error.code(), "message": error.to_string() } });
                output.line(object, &format!("{key} -"))?;
                output.remark(&format!("{key}: {error}"));
                failed = failed.or(Some(error));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
