//! The IPLD data model: what dag-cbor and dag-json blocks say.

use bytes::Bytes;

use crate::block::Cid;

/// Integers that dag-cbor has: those of 64 bits, and the sign apart from them.
pub const INTEGERS: std::ops::RangeInclusive<i128> = -(1 << 64)..=(1 << 64) - 1;

/// Deepest nesting of lists and maps that is read or written. Readers elsewhere allow 128 to 1,024.
pub const MAX_DEPTH: usize = 256;

/// A value, perhaps with links to other blocks.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// One of [`INTEGERS`]; others cannot be written.
    Integer(i128),
    /// 64 bits. Infinities and what is no number cannot be written.
    Float(f64),
    /// UTF-8.
    String(String),
    /// Bytes.
    Bytes(Bytes),
    /// Values in an order.
    List(Vec<Value>),
    /// Values by names.
    Map(Map),
    /// A block elsewhere, of any codec and hash.
    Link(Cid),
}

/// Values by names, each name once, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// The map of these; none if a name comes twice.
    pub fn of(mut entries: Vec<(String, Value)>) -> Option<Map> {
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let twice = entries.iter().zip(entries.iter().skip(1)).any(|((one, _), (next, _))| one == next);
        (!twice).then_some(Map(entries))
    }

    /// What this name stands for.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let place = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// All of them.
    pub fn entries(&self) -> &[(String, Value)] {
        &self.0
    }

    /// The same, to keep.
    pub fn into_entries(self) -> Vec<(String, Value)> {
        self.0
    }
}

impl Value {
    /// A link.
    pub fn link(cid: Cid) -> Value {
        Value::Link(cid)
    }

    /// What one name of a path leads to: in a map that name, in a list the place with this number, from 0.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.get(name),
            Value::List(items) => items.get(place(name)?),
            _ => None,
        }
    }

    /// The same, to keep.
    pub fn take(self, name: &str) -> Option<Value> {
        match self {
            Value::Map(map) => map.0.into_iter().find(|(known, _)| known == name).map(|(_, value)| value),
            Value::List(mut items) => {
                let place = place(name).filter(|place| *place < items.len())?;
                Some(items.swap_remove(place))
            }
            _ => None,
        }
    }

    /// Adds the CIDs that it links to, in their order.
    pub fn links(&self, found: &mut Vec<Cid>) {
        match self {
            Value::Link(cid) => found.push(cid.clone()),
            Value::List(items) => items.iter().for_each(|item| item.links(found)),
            Value::Map(map) => map.0.iter().for_each(|(_, value)| value.links(found)),
            _ => {}
        }
    }
}

/// A place in a list. `01` and `+1` are no other names of one.
fn place(name: &str) -> Option<usize> {
    let place: usize = name.parse().ok()?;
    (place.to_string() == name).then_some(place)
}
