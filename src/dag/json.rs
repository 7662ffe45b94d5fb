//! dag-json (IPLD specification `codecs/dag-json`). What is written has one form for each value: keys in the order of their
//! bytes, no blanks. What is read may have blanks and another order; forms that are reserved for links and bytes, and are
//! neither, are refused both ways.

use std::fmt::Write;

use super::{
    Malformed, NO_NUMBER, TOO_DEEP, TOO_LARGE,
    value::{INTEGERS, MAX_DEPTH, Map, Value},
};
use crate::{
    block::{self, base64, multibase},
    json::Scanner,
    platform::number,
};

/// The first key of links and of bytes,
const RESERVED: &str = "/";
/// and the key below it of bytes.
const BYTES: &str = "bytes";

/// Links and bytes are maps here, up to two deep, and not in the data model.
const FORM_DEPTH: usize = 2;

const NO_JSON: Malformed = Malformed("it is no well-formed JSON");
const IS_RESERVED: Malformed =
    Malformed("a map that begins with \"/\" is neither a link {\"/\":CID} nor bytes {\"/\":{\"bytes\":base64}}");

/// Reads a value, and nothing behind it.
pub fn decode(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut rest = Scanner(std::str::from_utf8(bytes).map_err(|_| NO_JSON)?);
    let value = value(&mut rest, MAX_DEPTH + FORM_DEPTH)?;
    rest.skip_blanks();
    if rest.0.is_empty() { Ok(value) } else { Err(Malformed("there is more behind the value")) }
}

/// Writes a value.
pub fn encode(value: &Value) -> Result<Vec<u8>, Malformed> {
    let mut out = String::new();
    put(&mut out, value, MAX_DEPTH)?;
    Ok(out.into_bytes())
}

fn value(rest: &mut Scanner<'_>, depth: usize) -> Result<Value, Malformed> {
    rest.skip_blanks();
    let all = rest.0;
    let mut first = true;
    let at_limit = depth == FORM_DEPTH;
    let (value, word) = match all.bytes().next().ok_or(NO_JSON)? {
        b'"' => return Ok(Value::String(rest.string().ok_or(NO_JSON)?)),
        b'[' => {
            let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            rest.goes_past('[');
            let mut items = Vec::new();
            while rest.goes_on(']', &mut first).ok_or(NO_JSON)? {
                items.push(self::value(rest, depth)?);
            }
            return if at_limit { Err(TOO_DEEP) } else { Ok(Value::List(items)) };
        }
        b'{' => {
            let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            rest.goes_past('{');
            let mut entries = Vec::new();
            while rest.goes_on('}', &mut first).ok_or(NO_JSON)? {
                rest.skip_blanks();
                let name = rest.string().filter(|_| rest.goes_past(':')).ok_or(NO_JSON)?;
                entries.push((name, self::value(rest, depth)?));
            }
            return match unreserved(Map::of(entries).ok_or(Malformed("a map has a key twice"))?)? {
                Value::Map(_) if at_limit => Err(TOO_DEEP),
                value => Ok(value),
            };
        }
        b't' => (Value::Bool(true), "true"),
        b'f' => (Value::Bool(false), "false"),
        b'n' => (Value::Null, "null"),
        _ => return read_number(rest.number().ok_or(NO_JSON)?),
    };
    rest.0 = all.strip_prefix(word).ok_or(NO_JSON)?;
    Ok(value)
}

/// Digits alone are an integer, whatever their value; all else is a float.
fn read_number(text: &str) -> Result<Value, Malformed> {
    if text.contains(['.', 'e', 'E']) {
        let float = number::parse(text).filter(|float| float.is_finite());
        return float.map(Value::Float).ok_or(NO_NUMBER);
    }
    let integer = text.parse().ok().filter(|integer| INTEGERS.contains(integer));
    integer.map(Value::Integer).ok_or(TOO_LARGE)
}

/// Whether a map is in the reserved namespace: what it must then be, a link or bytes, as text.
fn reserved(map: &Map) -> Option<Result<&str, &str>> {
    let (name, value) = map.entries().first()?;
    match value {
        Value::String(cid) if name == RESERVED => Some(Ok(cid)),
        Value::Map(inner) if name == RESERVED => match inner.entries().first()? {
            (name, Value::String(bytes)) if name == BYTES => Some(Err(bytes)),
            _ => None,
        },
        _ => None,
    }
}

/// A map, or the link or bytes that it stands for.
fn unreserved(map: Map) -> Result<Value, Malformed> {
    let value = match reserved(&map) {
        None => return Ok(Value::Map(map)),
        Some(Ok(cid)) => link(cid),
        Some(Err(bytes)) => multibase::decode(&format!("m{bytes}")).map(|bytes| Value::Bytes(bytes.into())),
    };
    let inner = match map.entries().first() {
        Some((_, Value::Map(inner))) => inner.entries().len(),
        _ => 1,
    };
    value.filter(|_| map.entries().len() == 1 && inner == 1).ok_or(IS_RESERVED)
}

/// A link from the one text that its CID has: version 1 in base32, version 0 in base58.
fn link(text: &str) -> Option<Value> {
    let cid = block::from_text(text).ok()?;
    (cid.to_string() == text).then(|| Value::link(cid))
}

fn put(out: &mut String, value: &Value, depth: usize) -> Result<(), Malformed> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Integer(integer) if !INTEGERS.contains(integer) => return Err(TOO_LARGE),
        Value::Integer(integer) => _ = write!(out, "{integer}"), // a String takes all
        Value::Float(float) if !float.is_finite() => return Err(NO_NUMBER),
        Value::Float(float) => put_float(out, *float),
        Value::String(text) => put_text(out, text),
        Value::Bytes(bytes) => {
            out.push_str("{\"/\":{\"bytes\":\"");
            out.push_str(&base64(bytes));
            out.push_str("\"}}");
        }
        Value::List(items) => {
            let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            let mut before = '[';
            for item in items {
                out.push(before);
                before = ',';
                put(out, item, depth)?;
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Map(map) => {
            let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            if reserved(map).is_some() {
                return Err(IS_RESERVED);
            }
            let mut before = '{';
            for (name, value) in map.entries() {
                out.push(before);
                before = ',';
                put_text(out, name);
                out.push(':');
                put(out, value, depth)?;
            }
            out.push_str(if map.entries().is_empty() { "{}" } else { "}" });
        }
        Value::Link(cid) => {
            out.push_str("{\"/\":\"");
            out.push_str(&cid.to_string());
            out.push_str("\"}");
        }
    }
    Ok(())
}

/// As JavaScript writes it, but always with a point or an exponent, so that it is no integer.
fn put_float(out: &mut String, float: f64) {
    if float.is_sign_negative() {
        out.push('-');
    }
    let text = number::shortest(float.abs());
    out.push_str(&text);
    if !text.contains(['.', 'e']) {
        out.push_str(".0");
    }
}

/// As JavaScript writes it.
fn put_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control @ '\0'..' ' => _ = write!(out, "\\u{:04x}", u32::from(control)),
            plain => out.push(plain),
        }
    }
    out.push('"');
}
