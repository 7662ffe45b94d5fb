//! The commands.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    arguments::{Command, Store},
    dag, files, names,
    output::{Output, size},
    pins, upkeep,
    world::wasi::cli::stdin,
};
use crate::{
    bindings::wasi,
    block::{self, Cid},
    error::{Error, Result},
    platform::{
        files::RandomAccessFile,
        wasi::{files::WasiFile, host::wasi::io::streams::StreamError, run as wait},
    },
    storage::{MAX_PAGE, PushOptions, Reader, Storage, StoreOptions},
    tier::{Durability, StoredRoot},
    unixfs::Path,
};

/// Read from a file, or from standard input, at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Runs a command.
pub fn run(store: Store, command: Command, output: &Output) -> Result<()> {
    let strict = store.options.durability == Durability::Strict;
    let storage = wasi::open(store.place, store.options)?;
    let done = match command {
        Command::Store { files, pin, name } => {
            files.iter().try_for_each(|file| store_one(&storage, file, pin, name.clone(), output))
        }
        Command::Retrieve { path, output: to, options } => {
            let mut reader = wait(storage.reader(Path::parse(&path)?, options))?;
            retrieve(&mut reader, to, strict, output)
        }
        Command::PutValue { file, input, options } => dag::put(&storage, &file, input, options, output),
        Command::GetValue { path, codec, offline } => dag::get(&storage, &path, codec, offline, output),
        Command::Name(command) => names::run(&storage, command, output),
        Command::Files(command) => files::run(&storage, command, strict, output),
        Command::Push { cid, remote, pin } => push(&storage, &block::parse(&cid)?, &remote, pin, output),
        Command::List => list(&storage, output),
        Command::Stat { cid } => {
            let stored = wait(storage.stat(&block::parse(&cid)?))?;
            output.line(object(&stored), &lines(&stored))
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
        Command::ImportLegacy { directory } => upkeep::import_legacy(&storage, &directory, output),
    };
    // Even when a later file failed: those before it were acknowledged.
    done.and(wait(storage.flush()))
}

fn store_one(storage: &Storage, file: &str, pin: bool, name: Option<String>, output: &Output) -> Result<()> {
    let own_name = || file.rsplit('/').next().filter(|name| !name.is_empty() && file != "-").map(str::to_owned);
    let filename = name.or_else(own_name);
    let mut writer = storage.writer(StoreOptions { filename, pin, layout: None })?;
    feed(file, &mut |bytes, done, total| {
        wait(writer.write(bytes))?;
        output.progress(file, done, total);
        Ok(())
    })?;
    let stored = wait(writer.finish())?;
    output.clear_progress();
    let label = stored.root.filename.as_deref().unwrap_or_default();
    output.line(object(&stored), format!("{} {label}", stored.root.cid).trim_end())
}

/// Reads a file, or standard input, piece by piece: the bytes, how far they reach, and of how many; 0 is unknown.
pub fn feed(file: &str, take: &mut dyn FnMut(Bytes, u64, u64) -> Result<()>) -> Result<()> {
    let mut done = 0;
    if file == "-" {
        let input = stdin::get_stdin();
        return loop {
            match input.blocking_read(READ_BYTES as u64) {
                Ok(bytes) => {
                    done += bytes.len() as u64;
                    take(bytes.into(), done, 0)?;
                }
                Err(StreamError::Closed) => break Ok(()),
                Err(StreamError::LastOperationFailed(error)) => {
                    break Err(Error::Io(format!("cannot read standard input: {}", error.to_debug_string())));
                }
            }
        };
    }
    let input = WasiFile::open(file)?;
    let total = input.len()?;
    loop {
        let bytes = input.read_at(done, READ_BYTES)?;
        if bytes.is_empty() {
            return Ok(());
        }
        done += bytes.len() as u64;
        take(bytes.into(), done, total)?;
    }
}

pub fn retrieve(reader: &mut Reader, to: Option<String>, strict: bool, output: &Output) -> Result<()> {
    let (cid, total) = (*reader.cid(), reader.remaining());
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

fn list(storage: &Storage, output: &Output) -> Result<()> {
    let mut after: Option<Cid> = None;
    loop {
        let page = wait(storage.list_files("/", after.as_ref(), MAX_PAGE))?;
        for stored in &page.files {
            let pin = if stored.pinned { "pinned" } else { "-" };
            let name = stored.root.filename.as_deref().unwrap_or("-");
            let modified = time(stored.root.modified);
            let line = format!("{} {:>10} {modified} {pin:<6} {name}", stored.root.cid, size(stored.root.size));
            output.line(object(stored), &line)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn each(cids: &[String], done: &str, output: &Output, act: impl Fn(&Cid) -> Result<()>) -> Result<()> {
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

pub fn object(stored: &StoredRoot) -> Value {
    json!({
        "cid": stored.root.cid.to_string(), "filename": stored.root.filename, "size": stored.root.size,
        "modified": stored.root.modified, "pinned": stored.pinned,
        "profile": stored.root.profile.map(|profile| profile.name()),
    })
}

fn lines(stored: &StoredRoot) -> String {
    format!(
        "cid:      {}\nfilename: {}\nsize:     {} bytes\nmodified: {}\npinned:   {}\nprofile:  {}",
        stored.root.cid,
        stored.root.filename.as_deref().unwrap_or("-"),
        stored.root.size,
        time(stored.root.modified),
        stored.pinned,
        stored.root.profile.map_or("-", |profile| profile.name()),
    )
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
