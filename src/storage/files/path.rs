//! Paths in the mutable tree.

use crate::{
    error::{Error, Result},
    unixfs::{MAX_PATH_BYTES, MAX_PATH_NAMES},
};

/// The names that lead somewhere, none to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub names: Vec<String>,
    /// Whether it ends with a slash, and so means a directory.
    pub slash: bool,
}

impl Names {
    /// Reads `/a/b`. Empty names and `.` count for nothing.
    pub fn parse(path: &str) -> Result<Names> {
        let refused = |why: &str| Err(Error::InvalidArgument(format!("the path {path:?} {why}")));
        let Some(below) = path.strip_prefix('/') else {
            return refused("does not begin with a slash, at the root of the mutable tree");
        };
        let names: Vec<String> =
            below.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect();
        if names.iter().any(|name| name == "..") {
            return refused("has the name \"..\": paths lead downwards");
        }
        if path.len() > MAX_PATH_BYTES || names.len() > MAX_PATH_NAMES {
            return refused("is too long");
        }
        Ok(Names { names, slash: path.ends_with('/') })
    }

    /// The directory that it lies in, and its name there; none of the root.
    pub fn split(&self) -> Option<(&[String], &str)> {
        self.names.split_last().map(|(name, parent)| (parent, name.as_str()))
    }

    /// What this name is below it.
    pub fn join(mut self, name: &str) -> Names {
        self.names.push(name.to_owned());
        Names { names: self.names, slash: false }
    }
}

/// As it is written.
pub fn text(names: &[String]) -> String {
    format!("/{}", names.join("/"))
}
