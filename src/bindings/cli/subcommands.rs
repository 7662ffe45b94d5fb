//! What `name` and `files` are asked for.

use super::{arguments::Given, files::FilesCommand, names::NameCommand};
use crate::{
    block,
    storage::{Expected, ReadOptions, WriteOptions},
    unixfs::Metadata,
};

type Parsed<T> = Result<T, lexopt::Error>;

/// The words after `name`.
pub fn name(given: Given) -> Parsed<NameCommand> {
    let expected = match (given.expect, given.absent) {
        (None, false) => Expected::Any,
        (None, true) => Expected::Absent,
        (Some(cid), false) => Expected::Cid(block::parse(&cid).map_err(|error| error.to_string())?),
        (Some(_), true) => return Err("--expect or --absent: one of the two".into()),
    };
    match words(&given.values).as_slice() {
        ["set", name, cid] => Ok(NameCommand::Set { name: text(name), cid: text(cid), expected }),
        ["get", name] => Ok(NameCommand::Get { name: text(name) }),
        ["ls"] => Ok(NameCommand::List { prefix: String::new() }),
        ["ls", prefix] => Ok(NameCommand::List { prefix: text(prefix) }),
        ["rm", name] => Ok(NameCommand::Remove { name: text(name), expected }),
        _ => Err("name takes set NAME CID, get NAME, ls [PREFIX], or rm NAME".into()),
    }
}

/// The words after `files`.
pub fn files(given: Given) -> Parsed<FilesCommand> {
    let Given { parents, recursive, force, mode: bits, .. } = given;
    let words = words(&given.values);
    Ok(match words.as_slice() {
        ["ls"] => FilesCommand::List { path: "/".into() },
        ["ls", path] => FilesCommand::List { path: text(path) },
        ["read", path] => FilesCommand::Read {
            path: text(path),
            output: given.output,
            options: ReadOptions::range(given.offset, given.length),
        },
        ["write", path, rest @ ..] if rest.len() < 2 => {
            let Given { offset, append, create, truncate, .. } = given;
            let metadata = Metadata { mode: bits, mtime: None };
            let options = WriteOptions { offset, append, create, parents, truncate, metadata };
            FilesCommand::Write { path: text(path), file: text(rest.first().unwrap_or(&"-")), options }
        }
        ["truncate", path, length] => {
            let length = length.parse().map_err(|_| format!("{length:?} is no number of bytes"))?;
            FilesCommand::Truncate { path: text(path), length }
        }
        ["mkdir", path] => FilesCommand::MakeDirectory { path: text(path), parents, mode: bits },
        ["cp", from, to] => FilesCommand::Copy { from: text(from), to: text(to), parents },
        ["mv", from, to] => FilesCommand::Move { from: text(from), to: text(to) },
        ["rm", paths @ ..] if !paths.is_empty() => {
            FilesCommand::Remove { paths: paths.iter().map(|path| text(path)).collect(), recursive, force }
        }
        ["stat"] => FilesCommand::Stat { path: "/".into() },
        ["stat", path] => FilesCommand::Stat { path: text(path) },
        ["touch", path] => FilesCommand::Touch { path: text(path), seconds: given.mtime },
        ["chmod", bits, path] => FilesCommand::ChangeMode { mode: mode(bits)?, path: text(path) },
        ["flush"] => FilesCommand::Flush { path: "/".into() },
        ["flush", path] => FilesCommand::Flush { path: text(path) },
        ["history"] => FilesCommand::History,
        _ => {
            let verbs = "ls, read, write, truncate, mkdir, cp, mv, rm, stat, touch, chmod, flush, history";
            return Err(format!("files takes one of {verbs}, and what --help says of it").into());
        }
    })
}

/// Permissions, in octal digits.
pub fn mode(digits: &str) -> Parsed<u32> {
    u32::from_str_radix(digits, 8).map_err(|_| format!("{digits:?} is no mode in octal digits, such as 0644").into())
}

fn words(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

fn text(word: &str) -> String {
    word.to_owned()
}
