//! Files, folders and directories: `add`, `get`, `ls` and what they print.

use std::{ops::ControlFlow, rc::Rc};

use serde_json::{Value, json};

use super::{
    commands::time,
    input::Input,
    output::{Output, size},
};
use crate::{
    error::Result,
    platform::wasi::{files::WasiDirectory, run as wait},
    storage::{FileInfo, FolderOptions, MAX_PAGE, ReadOptions, Storage, StoreOptions},
    unixfs::{EntryKind, Mtime, Path},
};

/// Stores a file, standard input, or a folder if that is asked.
pub fn add(storage: &Storage, name: &str, recursive: bool, options: FolderOptions, output: &Output) -> Result<()> {
    let own_name = name.trim_end_matches('/').rsplit('/').next();
    let own_name = own_name.filter(|name| !matches!(*name, "" | "-" | "." | "..")).map(str::to_owned);
    let filename = options.store.filename.or(own_name);
    let options = FolderOptions { store: StoreOptions { filename, ..options.store }, ..options };
    let folder = if recursive && name != "-" { WasiDirectory::existing(name).ok() } else { None };
    let stored = match folder {
        Some(folder) => wait(storage.store_folder(Rc::new(folder), options, &mut |path, done| {
            output.progress(path, done, 0);
            ControlFlow::Continue(())
        }))?,
        None => {
            let mut input = Input::open(name)?;
            let mut writer = storage.writer(options.store)?;
            while let Some(bytes) = input.next()? {
                wait(writer.write(bytes.into()))?;
                let (done, total) = input.progress();
                output.progress(name, done, total);
            }
            wait(writer.finish())?
        }
    };
    output.clear_progress();
    let info = FileInfo::from(stored);
    let label = info.filename.as_deref().unwrap_or_default();
    output.line(object(&info), format!("{} {label}", info.cid).trim_end())
}

/// Writes a file or a directory to the host's file system.
pub fn get(storage: &Storage, path: &str, to: Option<String>, offline: bool, output: &Output) -> Result<()> {
    let path = Path::parse(path)?;
    let own_name = || path.names().last().cloned().unwrap_or_else(|| path.cid().to_string());
    let to = to.unwrap_or_else(own_name);
    let (folder, name) = to.trim_end_matches('/').rsplit_once('/').unwrap_or((".", &to));
    let folder = Rc::new(WasiDirectory::to_change(if folder.is_empty() { "/" } else { folder })?);
    let options = ReadOptions { offline, ..ReadOptions::default() };
    let written = wait(storage.write_to(path.clone(), folder, name, options, &mut |path, done| {
        output.progress(path, done, 0);
        ControlFlow::Continue(())
    }))?;
    output.clear_progress();
    let object = json!({ "path": path.to_string(), "bytes": written, "output": to });
    output.line(object, &format!("{} to {to}", size(written)))
}

/// Lists what is stored, or what is in a directory, a page after the other.
pub fn list(storage: &Storage, path: &str, offline: bool, output: &Output) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = wait(storage.list_files(path, after.as_deref(), MAX_PAGE, offline))?;
        for info in &page.files {
            let bytes = info.size.map_or_else(|| "-".into(), size);
            let line = match info.modified {
                None => format!("{} {bytes:>10} {}", info.cid, named(info)),
                Some(modified) => {
                    let pin = if info.pinned { "pinned" } else { "-" };
                    format!("{} {bytes:>10} {} {pin:<6} {}", info.cid, time(modified), named(info))
                }
            };
            output.line(object(info), &line)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Its name, with what tells what it is.
fn named(info: &FileInfo) -> String {
    let name = info.filename.as_deref().unwrap_or("-");
    match (info.kind, &info.target) {
        (Some(EntryKind::Directory), _) => format!("{name}/"),
        (Some(EntryKind::Symlink), Some(target)) => format!("{name} -> {target}"),
        _ => name.to_owned(),
    }
}

/// As it is printed with `--json`; what is not known is left out.
pub fn object(info: &FileInfo) -> Value {
    let mut object = json!({
        "cid": info.cid.to_string(), "filename": info.filename, "size": info.size, "modified": info.modified,
        "pinned": info.pinned, "profile": info.profile.map(|profile| profile.name()),
    });
    let more = [
        ("kind", info.kind.map(|kind| kind.name().into())),
        ("dag_size", info.dag_size.map(Value::from)),
        ("mode", info.metadata.mode.map(|mode| format!("{mode:04o}").into())),
        ("mtime", info.metadata.mtime.map(|mtime| moment(mtime).into())),
        ("target", info.target.clone().map(Value::from)),
    ];
    if let Some(object) = object.as_object_mut() {
        object.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    object
}

/// As it is printed without.
pub fn lines(info: &FileInfo) -> String {
    let mut text = format!("cid:      {}\n", info.cid);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("{:<10}{value}\n", format!("{name}:"));
        }
    };
    line("filename", info.filename.clone());
    line("kind", info.kind.map(|kind| kind.name().into()));
    line("size", info.size.map(|size| format!("{size} bytes")));
    line("dag size", info.dag_size.map(|size| format!("{size} bytes")));
    line("target", info.target.clone());
    line("mode", info.metadata.mode.map(|mode| format!("{mode:04o}")));
    line("mtime", info.metadata.mtime.map(moment));
    line("modified", info.modified.map(time));
    line("pinned", Some(info.pinned.to_string()));
    line("profile", info.profile.map(|profile| profile.name().into()));
    text.truncate(text.trim_end().len());
    text
}

/// To the second; one before 1970 as a number of seconds.
fn moment(mtime: Mtime) -> String {
    match u64::try_from(mtime.seconds) {
        Ok(seconds) => time(seconds.saturating_mul(1000)),
        Err(_) => format!("{} s", mtime.seconds),
    }
}
