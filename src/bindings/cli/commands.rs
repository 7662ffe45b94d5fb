//! The commands.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    arguments::{Command, Store},
    car,
    configuration::Configuration,
    dag, files,
    input::Input,
    names, outbox,
    output::{Output, size},
    pins, trees, upkeep,
};
use crate::{
    bindings::wasi,
    block::{self, Cid},
    error::{Error, Result},
    platform::{
        files::RandomAccessFile,
        wasi::{files::WasiFile, run as wait, variable},
    },
    storage::{CacheConfig, Evicted, PushOptions, Reader, Storage},
    tier::Durability,
    unixfs::Path,
};

/// Longest configuration of backends.
const MAX_CONFIGURATION: usize = 1024 * 1024;

/// Runs a command.
pub fn run(store: Store, command: Command, output: &Rc<Output>) -> Result<()> {
    let Store { mut place, mut options, limit, backends } = store;
    let Configuration { backends, policy } = configuration(backends.as_deref())?;
    (place.backends, options.policy) = (backends, policy);
    let strict = options.durability == Durability::Strict;
    let storage = wasi::open(place, options)?;
    storage.configure_cache(CacheConfig { disk_bytes: limit, ..CacheConfig::default() })?;
    let evicted = Rc::new(RefCell::new(Vec::new()));
    let to_be_told = evicted.clone();
    storage.on_evicted(Rc::new(move |one: &Evicted| to_be_told.borrow_mut().push(one.clone())));
    let done = match command {
        Command::Store { files, recursive, options } => {
            files.iter().try_for_each(|file| trees::add(&storage, file, recursive, options.clone(), output))
        }
        Command::Get { path, output: to, offline } => trees::get(&storage, &path, to, offline, output),
        Command::Retrieve { path, output: to, options } => {
            let mut reader = wait(storage.reader(Path::parse(&path)?, options))?;
            retrieve(&mut reader, to, strict, output)
        }
        Command::PutValue { file, input, options } => dag::put(&storage, &file, input, options, output),
        Command::GetValue { path, codec, offline } => dag::get(&storage, &path, codec, offline, output),
        Command::Name(command) => names::run(&storage, command, output),
        Command::Outbox(command) => outbox::run(&storage, command, output),
        Command::Files(command) => files::run(&storage, command, strict, output),
        Command::Push { cid, remote, pin } => push(&storage, &block::parse(&cid)?, &remote, pin, output),
        Command::List { path, offline } => trees::list(&storage, &path, offline, output),
        Command::Stat { path, offline } => {
            let info = wait(storage.stat(Path::parse(&path)?, offline))?;
            output.line(trees::object(&info), &trees::lines(&info))
        }
        Command::Exists { cid } => {
            let exists = wait(storage.exists(&block::parse(&cid)?))?;
            output.line(json!({ "cid": cid, "exists": exists }), if exists { "true" } else { "false" })
        }
        Command::Remove { cids, force } => each(&cids, "removed", output, |cid| wait(storage.delete(cid, force))),
        Command::Pin { cids, options, lasting } => pins::pin(&storage, &cids, options, lasting, output),
        Command::ListPins => pins::list(&storage, output),
        Command::Unpin { cids } => each(&cids, "unpinned", output, |cid| wait(storage.unpin(cid))),
        Command::Status => status(&storage, output),
        Command::Collect { dry_run } => upkeep::collect(&storage, dry_run, output),
        Command::Verify(options) => upkeep::verify(&storage, options, output),
        Command::Car(command) => car::run(&storage, command, strict, output),
        Command::ImportLegacy { directory } => upkeep::import_legacy(&storage, &directory, output),
    };
    for Evicted { cid, filename, size, reason, .. } in evicted.take() {
        let object = json!({ "evicted": cid.to_string(), "filename": filename, "size": size, "reason": reason.name() });
        let line = format!("evicted {cid} {}", filename.unwrap_or_default());
        output.aside(object, line.trim_end());
    }
    // Even when a later file failed: those before it were acknowledged.
    done.and(wait(storage.flush()))
}

/// What a file says of backends, or the environment.
fn configuration(file: Option<&str>) -> Result<Configuration> {
    let too_large = || Error::InvalidArgument("what configures the backends is too large".into());
    let json = match file {
        Some(path) => Some(Input::open(path)?.whole(MAX_CONFIGURATION)?.ok_or_else(too_large)?),
        None => variable("IPFS_KIT_BACKENDS").map(String::into_bytes),
    };
    json.map_or_else(|| Ok(Configuration::default()), |json| Configuration::parse(&json))
}

pub fn retrieve(reader: &mut Reader, to: Option<String>, strict: bool, output: &Output) -> Result<()> {
    let (cid, total) = (reader.cid().clone(), reader.remaining());
    let mut done = 0;
    let mut copy = |take: &mut dyn FnMut(u64, &Bytes) -> Result<()>| -> Result<()> {
        while let Some(bytes) = wait(reader.next())? {
            take(done, &bytes)?;
            done += bytes.len() as u64;
            output.progress(to.as_deref().unwrap_or_default(), done, if to.is_some() { total } else { 0 });
        }
        Ok(())
    };
    match &to {
        None => copy(&mut |_, bytes| output.bytes(bytes)),
        Some(path) => {
            let file = WasiFile::create(path)?;
            let written = copy(&mut |at, bytes| file.write_at(at, bytes));
            let written = written.and_then(|()| if strict { file.sync() } else { Ok(()) });
            // Half a file must not be taken for a whole one.
            written.inspect_err(|_| WasiFile::remove(path))?;
            output.clear_progress();
            output.line(
                json!({ "cid": cid.to_string(), "size": total, "output": path }),
                &format!("{} to {path}", size(total)),
            )
        }
    }
}

fn push(storage: &Storage, cid: &Cid, remote: &str, pin: bool, output: &Output) -> Result<()> {
    let pushed = wait(storage.push(cid, remote, PushOptions { pin, ..PushOptions::default() }))?;
    let object = json!({ "cid": cid.to_string(), "remote": remote, "blocks": pushed.blocks, "bytes": pushed.bytes, "pinned": pin });
    let how = if pin { ", and pinned there" } else { "" };
    output.line(object, &format!("{cid} given to {remote}: {} blocks, {}{how}", pushed.blocks, size(pushed.bytes)))
}

pub fn each(cids: &[String], done: &str, output: &Output, act: impl Fn(&Cid) -> Result<()>) -> Result<()> {
    for text in cids {
        let cid = block::parse(text)?;
        act(&cid)?;
        output.line(json!({ "cid": cid.to_string(), done: true }), &format!("{done} {cid}"))?;
    }
    Ok(())
}

fn status(storage: &Storage, output: &Output) -> Result<()> {
    let status = wait(async { Ok(storage.backend_status().await) })?;
    let backends: Vec<Value> = status
        .backends
        .iter()
        .map(|backend| {
            json!({
                "name": backend.name, "kind": backend.kind, "state": backend.state.name(),
                "evidence": backend.evidence, "checked": backend.checked,
            })
        })
        .collect();
    let reason = status.local_only.map(|reason| reason.to_string());
    let usage = status.usage;
    let recovery = status.recovery;
    let object = json!({
        "backends": backends, "local_only": reason, "blocks": usage.blocks, "bytes": usage.bytes,
        "roots": usage.roots, "pinned": usage.pinned, "quarantined": usage.quarantined, "stored": usage.stored,
        "pinned_blocks": status.pinned.blocks, "pinned_bytes": status.pinned.bytes,
        "pins_uncounted": status.pins_uncounted, "disk_limit": status.disk_limit,
        "last_collection": status.last_collection.as_ref().map(upkeep::collected),
        "recovery": {
            "replayed": recovery.replayed, "truncated_bytes": recovery.truncated_bytes,
            "quarantined": recovery.quarantined,
        },
    });
    let mut text = String::new();
    for backend in &status.backends {
        text += &format!("{} ({}): {}, {}\n", backend.name, backend.kind, backend.state.name(), backend.evidence);
    }
    if let Some(reason) = reason {
        text += &format!("local only: {reason}\n");
    }
    text += &format!("files: {}, pins: {}\n", usage.roots, usage.pinned);
    text += &format!("blocks: {}, {}\n", usage.blocks, size(usage.bytes));
    let uncounted = match status.pins_uncounted {
        0 => String::new(),
        count => format!(", and {count} pins not counted yet (`pin ls` does)"),
    };
    let pinned = status.pinned;
    text += &format!("pinned: {} blocks, {}{uncounted}\n", pinned.blocks, size(pinned.bytes));
    let cached = usage.bytes.saturating_sub(pinned.bytes);
    text += &format!("cached: about {}\n", size(cached));
    text += &format!("on disk: {}\n", size(usage.stored));
    text += &format!("quarantined: {}\n", usage.quarantined);
    text += &match &status.last_collection {
        None => "last collection: none\n".to_owned(),
        Some(report) => format!(
            "last collection: {}, {} blocks, {} freed\n",
            time(report.ended),
            report.freed_blocks,
            size(report.freed_bytes)
        ),
    };
    text += &format!(
        "last opening: {} records after the checkpoint, {} of torn writes cut off",
        recovery.replayed,
        size(recovery.truncated_bytes)
    );
    output.line(object, &text)
}

/// ISO 8601 in UTC, to the second. (Civil date from days: Howard Hinnant's algorithm.)
pub fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
