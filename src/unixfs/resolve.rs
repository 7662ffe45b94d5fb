//! Finds what a path leads to: through directories and symbolic links, through values of linked data, and from one to the
//! other.

use std::collections::VecDeque;

use super::{
    directory::Entry,
    path::{MAX_PATH_BYTES, MAX_PATH_NAMES, Path},
    reader::{BlockSource, one},
};
use crate::{
    block::{Cid, Codec},
    dag::{self, Value, pb::Link},
    error::{Error, Result},
};

/// Most symbolic links on the way, as many as operating systems follow or fewer: a loop ends here.
const MAX_SYMLINKS: usize = 32;

/// Where a path ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The block,
    pub cid: Cid,
    /// and the names that lead on within the value that it holds; none: to all of it.
    pub within: Vec<String>,
}

impl From<Cid> for Place {
    fn from(cid: Cid) -> Place {
        Place { cid, within: Vec::new() }
    }
}

/// What a path leads to: a file, a directory, a value. A plain CID leads to itself, and nothing is read for it.
///
/// Errors are those of [`locate`]; a place within a value is [`Error::Unsupported`].
pub async fn resolve(source: &dyn BlockSource, path: &Path) -> Result<Cid> {
    let Place { cid, within } = locate(source, path).await?;
    if within.is_empty() {
        return Ok(cid);
    }
    Err(part_of_a_value(path))
}

fn part_of_a_value(path: &Path) -> Error {
    Error::Unsupported(format!("{path} is no file or directory but a part of a value; get it as a value"))
}

/// What a path leads to, also a part of a value.
///
/// In a map a name leads to what it stands for, in a list a number to that item, from 0; a link leads to its block. A name
/// with a slash, an empty one, and `.` and `..` are not to be reached by a path.
///
/// Symbolic links are followed, also at the end; one that leads out of the path's CID is [`Error::Denied`]. What is missing
/// is [`Error::NotFound`], and proven to be so by the directory or the value.
pub async fn locate(source: &dyn BlockSource, path: &Path) -> Result<Place> {
    match path.names() {
        [] => Ok(path.cid().clone().into()),
        names => walk(source, path, names).await.map(|(place, _)| place),
    }
}

/// The link that a path ends with; a symbolic link at its end is not followed. None if the path has no names.
pub async fn look_up(source: &dyn BlockSource, path: &Path) -> Result<Option<Link>> {
    let Some((name, above)) = path.names().split_last() else { return Ok(None) };
    let nothing = || Error::NotFound(path.clone());
    let (place, node) = walk(source, path, above).await?;
    let found = match node.filter(|_| place.within.is_empty()) {
        Some(node) => node.find(source, &place.cid, std::slice::from_ref(name)).await?,
        None => return Err(part_of_a_value(path)),
    };
    found.map(Some).ok_or_else(nothing)
}

/// Where these names lead, and the node there, unless that is a value.
async fn walk(source: &dyn BlockSource, path: &Path, names: &[String]) -> Result<(Place, Option<Entry>)> {
    let nothing = || Error::NotFound(path.clone());
    let mut way = vec![Place::from(path.cid().clone())];
    let mut rest: VecDeque<String> = names.iter().cloned().collect();
    let mut symlinks = 0;
    while let Some(here) = way.last() {
        let cid = here.cid.clone();
        let names: Vec<String> = here.within.iter().chain(&rest).cloned().collect();
        hint(source, &cid, &cid, &names);
        let node = match Codec::of(&cid)? {
            Codec::Raw | Codec::DagPb => Some(Entry::read(source, &cid).await?),
            Codec::DagCbor | Codec::DagJson => None,
        };
        match (node, rest.front().map(String::as_str)) {
            (Some(Entry::Symlink(target)), _) => {
                way.pop();
                symlinks += 1;
                if symlinks > MAX_SYMLINKS {
                    return Err(Error::Unsupported(format!("{path}: more than {MAX_SYMLINKS} symbolic links")));
                }
                follow(path, &target, &mut rest)?;
            }
            (node, None) => return Ok((here.clone(), node)),
            (Some(Entry::File), _) => return Err(nothing()),
            (_, Some("..")) => {
                way.pop();
                rest.pop_front();
            }
            (Some(directory), _) => {
                let found = directory.find(source, &cid, rest.make_contiguous()).await?;
                way.push(found.ok_or_else(nothing)?.cid.into());
                rest.pop_front();
            }
            (None, _) => {
                let block = one(source.blocks(std::slice::from_ref(&cid)).await?, &cid)?;
                descend(&dag::value(&block)?, &mut way, &mut rest).ok_or_else(nothing)?;
            }
        }
    }
    Err(Error::Denied(format!("{path}: a symbolic link leads out of {}", path.cid())))
}

/// Follows the rest through a value, up to a link or as far as it leads downwards; none if there is no such thing.
fn descend(whole: &Value, way: &mut Vec<Place>, rest: &mut VecDeque<String>) -> Option<()> {
    let mut here = way.last()?.clone();
    let mut value = here.within.iter().try_fold(whole, |value, name| value.get(name))?;
    while let Some(name) = rest.pop_front_if(|name| *name != "..") {
        value = value.get(&name)?;
        if let Value::Link(cid) = value {
            way.push(cid.clone().into());
            break;
        }
        here.within.push(name);
        way.push(here.clone());
    }
    Some(())
}

/// Puts the names of a link's target before the rest.
fn follow(path: &Path, target: &str, rest: &mut VecDeque<String>) -> Result<()> {
    if target.starts_with('/') {
        return Err(Error::Denied(format!("{path}: a symbolic link leads out of {}, to {target:?}", path.cid())));
    }
    let names = target.split('/').filter(|name| !matches!(*name, "" | "."));
    if target.len() > MAX_PATH_BYTES || names.clone().count() + rest.len() > MAX_PATH_NAMES {
        return Err(Error::Unsupported(format!("{path}: a symbolic link makes it too long")));
    }
    names.rev().for_each(|name| rest.push_front(name.to_owned()));
    Ok(())
}

/// Tells the source where this leads, as long as it leads downwards.
pub(super) fn hint(source: &dyn BlockSource, node: &Cid, from: &Cid, names: &[String]) {
    if !names.iter().any(|name| name == "..") {
        source.on_the_way(node, from, names);
    }
}
