//! The commands that pin, and list pins.

use serde_json::{Value, json};

use super::{
    commands::time,
    output::{Output, size},
};
use crate::{
    block::{self, Cid},
    error::Result,
    platform::{
        Clock,
        wasi::{WallClock, run as wait},
    },
    storage::{MAX_PAGE, PinOptions, Storage},
    tier::Pin,
};

/// Pins each, for so many milliseconds if that is said.
pub fn pin(
    storage: &Storage,
    cids: &[String],
    options: PinOptions,
    lasting: Option<u64>,
    output: &Output,
) -> Result<()> {
    let expires = lasting.map(|lasting| WallClock.now().saturating_add(lasting));
    for cid in cids {
        let pin = wait(storage.pin(&block::parse(cid)?, PinOptions { expires, ..options.clone() }))?;
        output.line(object(&pin), &format!("pinned {}", pin.cid))?;
    }
    Ok(())
}

/// Lists all pins.
pub fn list(storage: &Storage, output: &Output) -> Result<()> {
    let mut after: Option<Cid> = None;
    loop {
        let page = wait(storage.pins(after.as_ref(), MAX_PAGE))?;
        for pin in &page.pins {
            output.line(object(pin), &line(pin))?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn object(pin: &Pin) -> Value {
    let (blocks, bytes) = pin.size.unzip();
    json!({
        "cid": pin.cid.to_string(), "kind": pin.kind.name(), "name": pin.name, "labels": pin.labels,
        "created": pin.created, "expires": pin.expires, "pending": pin.pending, "blocks": blocks, "bytes": bytes,
    })
}

fn line(pin: &Pin) -> String {
    let (blocks, bytes) = pin.size.unzip();
    let figure = |figure: Option<String>| figure.unwrap_or_else(|| "-".into());
    let mut line = format!(
        "{} {:<9} {:>8} blocks {:>10} {:<7} {:<20} {}",
        pin.cid,
        pin.kind.name(),
        figure(blocks.map(|blocks| blocks.to_string())),
        figure(bytes.map(size)),
        if pin.pending { "pending" } else { "-" },
        figure(pin.expires.map(time)),
        pin.name.as_deref().unwrap_or("-"),
    );
    for (name, value) in &pin.labels {
        line += &format!(" {name}={value}");
    }
    line
}
