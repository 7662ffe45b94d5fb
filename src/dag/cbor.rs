//! dag-cbor, strictly (IPLD specification `codecs/dag-cbor`): one encoding for each value, and nothing else is read.

use std::cmp::Ordering;

use bytes::{Buf, BufMut, Bytes};

use super::{
    Malformed, NO_NUMBER, TOO_DEEP, TOO_LARGE,
    value::{INTEGERS, MAX_DEPTH, Map, Value},
};
use crate::block;

/// The only tag there is: a CID.
const LINK_TAG: u64 = 42;

/// Stands for the major type of a float, which it shares with simple values.
const FLOAT: u8 = 8;

const TOO_SHORT: Malformed = Malformed("it ends before the value does");

/// Reads a value, and nothing behind it.
pub fn decode(bytes: &Bytes) -> Result<Value, Malformed> {
    let mut rest = Rest(bytes.clone());
    let value = rest.value(MAX_DEPTH)?;
    if rest.0.is_empty() { Ok(value) } else { Err(Malformed("there is more behind the value")) }
}

/// Writes a value.
pub fn encode(value: &Value) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    put(&mut out, value, MAX_DEPTH)?;
    Ok(out)
}

/// Which of two keys comes first: the shorter one, and of two as long the lesser.
fn order(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// What is still to be read.
struct Rest(Bytes);

impl Rest {
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        let (major, number) = self.head()?;
        Ok(match major {
            0 => Value::Integer(number.into()),
            1 => Value::Integer(-1 - i128::from(number)),
            2 => Value::Bytes(self.take(number)?),
            3 => Value::String(self.text(number)?),
            4 => {
                let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
                let mut items = Vec::new();
                for _ in 0..number {
                    items.push(self.value(depth)?);
                }
                Value::List(items)
            }
            5 => {
                let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
                let mut entries: Vec<(String, Value)> = Vec::new();
                for _ in 0..number {
                    let key = match self.head()? {
                        (3, length) => self.text(length)?,
                        _ => return Err(Malformed("a key of a map is no string")),
                    };
                    if entries.last().is_some_and(|(last, _)| order(last, &key).is_ge()) {
                        return Err(Malformed("the keys of a map are repeated or out of order"));
                    }
                    entries.push((key, self.value(depth)?));
                }
                Value::Map(Map::of(entries).unwrap_or_default())
            }
            6 if number == LINK_TAG => match self.head()? {
                (2, length) => {
                    let bytes = self.take(length)?;
                    let cid = bytes.strip_prefix(&[0]).and_then(|bytes| block::from_bytes(bytes).ok());
                    Value::link(cid.ok_or(Malformed("a link leads to no valid CID"))?)
                }
                _ => return Err(Malformed("a link is no byte string")),
            },
            6 => return Err(Malformed("there is a tag other than that of links")),
            FLOAT => match f64::from_bits(number) {
                float if float.is_finite() => Value::Float(float),
                _ => return Err(NO_NUMBER),
            },
            _ => match number {
                20 => Value::Bool(false),
                21 => Value::Bool(true),
                22 => Value::Null,
                _ => return Err(Malformed("there is a simple value other than false, true and null")),
            },
        })
    }

    /// The major type of what comes next and its number, which must be as short as it can be. Of a float it is its bits.
    fn head(&mut self) -> Result<(u8, u64), Malformed> {
        let first = self.0.try_get_u8().map_err(|_| TOO_SHORT)?;
        let (major, short) = (first >> 5, first & 0x1f);
        let (number, least) = match short {
            0..24 => return Ok((major, short.into())),
            24 => (self.0.try_get_u8().map(u64::from), 24),
            25 => (self.0.try_get_u16().map(u64::from), 1 << 8),
            26 => (self.0.try_get_u32().map(u64::from), 1 << 16),
            27 => (self.0.try_get_u64(), 1 << 32),
            _ => return Err(Malformed("there is an item of indefinite length")),
        };
        let number = number.map_err(|_| TOO_SHORT)?;
        match (major, short) {
            (7, 27) => Ok((FLOAT, number)),
            (7, 25 | 26) => Err(Malformed("a float has less than 64 bits")),
            _ if number < least => Err(Malformed("a number is longer than it need be")),
            _ => Ok((major, number)),
        }
    }

    fn take(&mut self, length: u64) -> Result<Bytes, Malformed> {
        match usize::try_from(length) {
            Ok(length) if length <= self.0.len() => Ok(self.0.split_to(length)),
            _ => Err(TOO_SHORT),
        }
    }

    fn text(&mut self, length: u64) -> Result<String, Malformed> {
        String::from_utf8(self.take(length)?.into()).map_err(|_| Malformed("a string is not UTF-8"))
    }
}

fn put(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), Malformed> {
    match value {
        Value::Null => out.put_u8(0xf6),
        Value::Bool(false) => out.put_u8(0xf4),
        Value::Bool(true) => out.put_u8(0xf5),
        Value::Integer(integer) if !INTEGERS.contains(integer) => return Err(TOO_LARGE),
        Value::Integer(integer @ 0..) => put_head(out, 0, *integer as u64),
        Value::Integer(negative) => put_head(out, 1, (-1 - negative) as u64),
        Value::Float(float) if !float.is_finite() => return Err(NO_NUMBER),
        Value::Float(float) => {
            out.put_u8(0xfb);
            out.put_f64(*float);
        }
        Value::String(text) => put_text(out, text),
        Value::Bytes(bytes) => {
            put_head(out, 2, bytes.len() as u64);
            out.put_slice(bytes);
        }
        Value::List(items) => {
            let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            put_head(out, 4, items.len() as u64);
            items.iter().try_for_each(|item| put(out, item, depth))?;
        }
        Value::Map(map) => {
            let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
            let mut entries: Vec<&(String, Value)> = map.entries().iter().collect();
            entries.sort_unstable_by(|(one, _), (other, _)| order(one, other));
            put_head(out, 5, entries.len() as u64);
            for (key, value) in entries {
                put_text(out, key);
                put(out, value, depth)?;
            }
        }
        Value::Link(cid) => {
            put_head(out, 6, LINK_TAG);
            put_head(out, 2, cid.encoded_len() as u64 + 1);
            out.put_u8(0);
            out.put_slice(&cid.to_bytes());
        }
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, 3, text.len() as u64);
    out.put_slice(text.as_bytes());
}

fn put_head(out: &mut Vec<u8>, major: u8, number: u64) {
    let major = major << 5;
    match number {
        0..24 => out.put_u8(major | number as u8),
        24..=0xff => out.put_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            out.put_u8(major | 25);
            out.put_u16(number as u16);
        }
        0x1_0000..=0xffff_ffff => {
            out.put_u8(major | 26);
            out.put_u32(number as u32);
        }
        _ => {
            out.put_u8(major | 27);
            out.put_u64(number);
        }
    }
}
