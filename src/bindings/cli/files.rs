//! `files`: the mutable tree, with the commands that Kubo has for it.

use serde_json::{Value, json};

use super::{
    commands::{retrieve, time},
    input::Input,
    output::Output,
};
use crate::{
    error::Result,
    platform::{
        Clock,
        wasi::{WallClock, run as wait},
    },
    storage::{CopyFrom, FileInfo, FileStat, Files, MAX_PAGE, ReadOptions, Storage, WriteOptions},
    unixfs::{Metadata, Mtime, Path},
};

/// What to do with the tree.
pub enum FilesCommand {
    List { path: String },
    Read { path: String, output: Option<String>, options: ReadOptions },
    Write { path: String, file: String, options: WriteOptions },
    Truncate { path: String, length: u64 },
    MakeDirectory { path: String, parents: bool, mode: Option<u32> },
    Copy { from: String, to: String, parents: bool },
    Move { from: String, to: String },
    Remove { paths: Vec<String>, recursive: bool, force: bool },
    Stat { path: String },
    Touch { path: String, seconds: Option<i64> },
    ChangeMode { mode: u32, path: String },
    Flush { path: String },
    History,
}

/// Does it.
pub fn run(storage: &Storage, command: FilesCommand, strict: bool, output: &Output) -> Result<()> {
    let files = storage.files();
    match command {
        FilesCommand::List { path } => list(&files, &path, output),
        FilesCommand::Read { path, output: to, options } => {
            retrieve(&mut wait(files.reader(&path, options))?, to, strict, output)
        }
        FilesCommand::Write { path, file, options } => {
            let mut writer = wait(files.writer(&path, options))?;
            let mut input = Input::open(&file)?;
            while let Some(bytes) = input.next()? {
                let (done, total) = input.progress();
                wait(writer.write(bytes.into()))?;
                output.progress(&file, done, total);
            }
            wait(writer.finish())?;
            output.clear_progress();
            told(&files, &path, output)
        }
        FilesCommand::Truncate { path, length } => {
            wait(files.truncate(&path, length))?;
            told(&files, &path, output)
        }
        FilesCommand::MakeDirectory { path, parents, mode } => {
            wait(files.mkdir(&path, parents, Metadata { mode, mtime: None }))?;
            told(&files, &path, output)
        }
        FilesCommand::Copy { from, to, parents } => {
            wait(files.cp(&source(from)?, &to, parents))?;
            told(&files, "/", output)
        }
        FilesCommand::Move { from, to } => {
            wait(files.mv(&from, &to))?;
            told(&files, "/", output)
        }
        FilesCommand::Remove { paths, recursive, force } => paths.iter().try_for_each(|path| {
            wait(files.rm(path, recursive, force))?;
            output.line(json!({ "path": path, "removed": true }), &format!("removed {path}"))
        }),
        FilesCommand::Stat { path } => {
            let stat = wait(files.stat(&path))?;
            output.line(object(&path, &stat), &lines(&stat))
        }
        FilesCommand::Touch { path, seconds } => {
            let now = WallClock.now();
            let now = Mtime { seconds: (now / 1000) as i64, nanoseconds: (now % 1000) as u32 * 1_000_000 };
            wait(files.touch(&path, seconds.map_or(now, |seconds| Mtime { seconds, nanoseconds: 0 })))?;
            told(&files, &path, output)
        }
        FilesCommand::ChangeMode { mode, path } => {
            wait(files.chmod(&path, mode))?;
            told(&files, &path, output)
        }
        FilesCommand::Flush { path } => {
            let cid = wait(files.flush(&path))?.to_string();
            output.line(json!({ "path": path, "cid": cid }), &cid)
        }
        FilesCommand::History => wait(files.history())?.iter().try_for_each(|root| {
            let object = json!({ "cid": root.cid.to_string(), "changed": root.changed });
            output.line(object, &format!("{} {}", root.cid, time(root.changed)))
        }),
    }
}

/// As Kubo has it: `/ipfs/CID/...` is a path below a CID, and so is what begins with no slash; all else is in the tree.
fn source(text: String) -> Result<CopyFrom> {
    match text.starts_with('/') && !text.starts_with("/ipfs/") {
        true => Ok(CopyFrom::Tree(text)),
        false => Path::parse(&text).map(CopyFrom::Path),
    }
}

/// Says what is at a path now.
fn told(files: &Files, path: &str, output: &Output) -> Result<()> {
    let stat = wait(files.stat(path))?;
    output.line(object(path, &stat), &format!("{} {path}", stat.cid))
}

fn list(files: &Files, path: &str, output: &Output) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = wait(files.ls(path, after.as_deref(), MAX_PAGE))?;
        for FileInfo { filename, cid, kind, size, .. } in &page.files {
            let name = filename.as_deref().unwrap_or_default();
            let kind = kind.map(|kind| kind.name());
            let object = json!({ "name": name, "cid": cid.to_string(), "kind": kind, "size": size });
            let size = size.map_or_else(|| "-".into(), |size| size.to_string());
            output.line(object, &format!("{cid} {:<9} {size:>12} {name}", kind.unwrap_or("-")))?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn object(path: &str, stat: &FileStat) -> Value {
    let mtime = stat.metadata.mtime.map(|mtime| json!({ "seconds": mtime.seconds, "nanoseconds": mtime.nanoseconds }));
    json!({
        "path": path, "cid": stat.cid.to_string(), "kind": stat.kind.name(), "size": stat.size,
        "cumulative_size": stat.cumulative_size, "links": stat.links, "mode": stat.metadata.mode, "mtime": mtime,
    })
}

fn lines(stat: &FileStat) -> String {
    let mode = stat.metadata.mode.map_or_else(|| "-".into(), |mode| format!("{mode:04o}"));
    let seconds =
        |mtime: Mtime| u64::try_from(mtime.seconds).map_or_else(|_| mtime.seconds.to_string(), |s| time(s * 1000));
    format!(
        "cid: {}\nkind: {}\nsize: {}\ncumulative size: {}\nlinks: {}\nmode: {mode}\nmtime: {}",
        stat.cid,
        stat.kind.name(),
        stat.size,
        stat.cumulative_size,
        stat.links,
        stat.metadata.mtime.map_or_else(|| "-".into(), seconds),
    )
}
