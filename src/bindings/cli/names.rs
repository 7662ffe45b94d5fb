//! The commands that set and list names.

use serde_json::{Value, json};

use super::{commands::time, output::Output};
use crate::{
    block,
    error::Result,
    platform::wasi::run as wait,
    storage::{Expected, MAX_PAGE, Named, Storage},
};

/// What to do with names.
pub enum NameCommand {
    Set { name: String, cid: String, expected: Expected },
    Get { name: String },
    List { prefix: String },
    Remove { name: String, expected: Expected },
}

/// Does it.
pub fn run(storage: &Storage, command: NameCommand, output: &Output) -> Result<()> {
    match command {
        NameCommand::Set { name, cid, expected } => {
            let named = wait(storage.set_name(&name, &block::parse(&cid)?, expected))?;
            output.line(object(&named), &line(&named))
        }
        NameCommand::Get { name } => {
            let named = wait(storage.get_name(&name))?;
            output.line(object(&named), &named.cid.to_string())
        }
        NameCommand::List { prefix } => list(storage, &prefix, output),
        NameCommand::Remove { name, expected } => {
            wait(storage.remove_name(&name, expected))?;
            output.line(json!({ "name": name, "removed": true }), &format!("removed {name}"))
        }
    }
}

fn list(storage: &Storage, prefix: &str, output: &Output) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = wait(storage.list_names(prefix, after.as_deref(), MAX_PAGE))?;
        for named in &page.names {
            output.line(object(named), &line(named))?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn object(named: &Named) -> Value {
    json!({ "name": named.name, "cid": named.cid.to_string(), "modified": named.modified })
}

fn line(named: &Named) -> String {
    format!("{} {} {}", named.cid, time(named.modified), named.name)
}
