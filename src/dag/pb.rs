//! dag-pb, strictly (IPLD specification `codecs/dag-pb`): links before data, no unknown, repeated or disordered fields.

use std::ops::Range;

use bytes::Bytes;

pub use super::protobuf::Malformed;
use super::{
    Map, Value,
    protobuf::{self, Fields},
};
use crate::block::{self, Cid};

/// One link of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub cid: Cid,
    /// Its name; the links of a file have empty ones.
    pub name: Option<String>,
    /// Bytes of the whole DAG it leads to, as its maker says.
    pub tsize: Option<u64>,
}

/// A node: links and data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// In the order in which they are written.
    pub links: Vec<Link>,
    /// For UnixFS, a `Data` message.
    pub data: Option<Bytes>,
}

/// A node whose links are read when they are wanted: who looks for one need not read them all.
#[derive(Debug)]
pub(crate) struct Outline {
    bytes: Bytes,
    /// Where each link is in the node.
    links: Vec<Range<usize>>,
    pub data: Option<Bytes>,
}

impl Outline {
    pub fn decode(bytes: &Bytes) -> Result<Outline, Malformed> {
        let mut node = Outline { bytes: bytes.clone(), links: Vec::new(), data: None };
        let mut fields = Fields::of(bytes);
        let mut links_ended = false;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 if node.data.is_some() => return Err(Malformed("a dag-pb node has its data twice")),
                1 => {
                    node.data = Some(bytes.slice_ref(value.bytes()?));
                    links_ended = !node.links.is_empty();
                }
                2 if links_ended => return Err(Malformed("the links of a dag-pb node are in two groups")),
                2 => {
                    let link = value.bytes()?;
                    let end = bytes.len() - fields.left();
                    node.links.push(end - link.len()..end);
                }
                _ => return Err(Malformed("a dag-pb node has an unknown field")),
            }
        }
        Ok(node)
    }

    /// How many links it has.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// The link at this place.
    pub fn link(&self, at: usize) -> Result<Link, Malformed> {
        Link::decode(self.raw(at)?)
    }

    /// The name of the link at this place.
    pub fn name(&self, at: usize) -> Result<Option<&[u8]>, Malformed> {
        Link::name(self.raw(at)?)
    }

    /// All links.
    pub fn links(&self) -> Result<Vec<Link>, Malformed> {
        (0..self.len()).map(|at| self.link(at)).collect()
    }

    fn raw(&self, at: usize) -> Result<&[u8], Malformed> {
        let range = self.links.get(at).cloned();
        range.and_then(|range| self.bytes.get(range)).ok_or(Malformed("a dag-pb node has fewer links"))
    }
}

impl Node {
    /// Reads a node.
    pub fn decode(bytes: &Bytes) -> Result<Node, Malformed> {
        let outline = Outline::decode(bytes)?;
        Ok(Node { links: outline.links()?, data: outline.data })
    }

    /// Writes it in the canonical form.
    pub fn encode(&self) -> Vec<u8> {
        let links: usize = self.links.iter().map(Link::field_len).sum();
        let data = self.data.as_ref().map_or(0, |data| protobuf::bytes_field_len(data.len()));
        let mut out = Vec::with_capacity(links + data);
        for link in &self.links {
            link.encode(&mut out);
        }
        if let Some(data) = &self.data {
            protobuf::put_bytes_field(&mut out, 1, data);
        }
        out
    }
}

impl Link {
    fn decode(bytes: &[u8]) -> Result<Link, Malformed> {
        let mut fields = Fields::of(bytes);
        let (mut cid, mut name, mut tsize) = (None, None, None);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 if cid.is_none() && name.is_none() && tsize.is_none() => {
                    let found = block::from_bytes(value.bytes()?)
                        .map_err(|_| Malformed("a dag-pb link leads to no valid CID"))?;
                    cid = Some(found);
                }
                2 if name.is_none() && tsize.is_none() => {
                    let text = String::from_utf8(value.bytes()?.to_vec())
                        .map_err(|_| Malformed("the name of a dag-pb link is not UTF-8"))?;
                    name = Some(text);
                }
                3 if tsize.is_none() => tsize = Some(value.varint()?),
                1..=3 => return Err(Malformed("the fields of a dag-pb link are repeated or out of order")),
                _ => return Err(Malformed("a dag-pb link has an unknown field")),
            }
        }
        let cid = cid.ok_or(Malformed("a dag-pb link has no CID"))?;
        Ok(Link { cid, name, tsize })
    }

    /// The name alone.
    fn name(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                return value.bytes().map(Some);
            }
        }
        Ok(None)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        protobuf::put_length_header(out, 2, self.encoded_len());
        protobuf::put_bytes_field(out, 1, &self.cid.to_bytes());
        if let Some(name) = &self.name {
            protobuf::put_bytes_field(out, 2, name.as_bytes());
        }
        if let Some(tsize) = self.tsize {
            protobuf::put_varint_field(out, 3, tsize);
        }
    }

    /// Bytes that it takes in a node.
    pub(crate) fn field_len(&self) -> usize {
        protobuf::bytes_field_len(self.encoded_len())
    }

    fn encoded_len(&self) -> usize {
        protobuf::bytes_field_len(self.cid.encoded_len())
            + self.name.as_ref().map_or(0, |name| protobuf::bytes_field_len(name.len()))
            + self.tsize.map_or(0, |tsize| 1 + protobuf::varint_len(tsize))
    }
}

/// In the data model a node is a map with `Data`, if there is any, and `Links`; each of these has `Hash`, and perhaps `Name`
/// and `Tsize`.
impl From<Node> for Value {
    fn from(node: Node) -> Value {
        let map = |entries: [Option<(&str, Value)>; 3]| {
            let entries = entries.into_iter().flatten().map(|(name, value)| (name.to_owned(), value));
            Value::Map(Map::of(entries.collect()).unwrap_or_default())
        };
        let links = node.links.into_iter().map(|link| {
            let name = link.name.map(|name| ("Name", Value::String(name)));
            let tsize = link.tsize.map(|tsize| ("Tsize", Value::Integer(tsize.into())));
            map([Some(("Hash", Value::link(link.cid))), name, tsize])
        });
        let links = Value::List(links.collect());
        map([node.data.map(|data| ("Data", Value::Bytes(data))), Some(("Links", links)), None])
    }
}

impl TryFrom<Value> for Node {
    type Error = Malformed;

    /// Of values only those forms are nodes.
    fn try_from(value: Value) -> Result<Node, Malformed> {
        let Value::Map(map) = value else { return Err(Malformed("a dag-pb node is a map")) };
        let (mut data, mut links) = (None, None);
        for (name, value) in map.into_entries() {
            match (name.as_str(), value) {
                ("Data", Value::Bytes(bytes)) => data = Some(bytes),
                ("Links", Value::List(items)) => {
                    let all: Result<Vec<Link>, Malformed> = items.into_iter().map(Link::try_from).collect();
                    links = Some(all?);
                }
                _ => return Err(Malformed("a dag-pb node has bytes as Data, a list as Links, and nothing else")),
            }
        }
        let links = links.ok_or(Malformed("a dag-pb node has a list of Links"))?;
        // Writers sort them by name, without a name first, and leave those of one name as they are.
        if !links.is_sorted_by_key(|link| link.name.as_deref().unwrap_or_default()) {
            return Err(Malformed("the Links of a dag-pb node are not in the order of their names"));
        }
        Ok(Node { links, data })
    }
}

impl TryFrom<Value> for Link {
    type Error = Malformed;

    fn try_from(value: Value) -> Result<Link, Malformed> {
        let Value::Map(map) = value else { return Err(Malformed("a link of a dag-pb node is a map")) };
        let (mut cid, mut name, mut tsize) = (None, None, None);
        for (key, value) in map.into_entries() {
            match (key.as_str(), value) {
                ("Hash", Value::Link(link)) => cid = Some(link),
                ("Name", Value::String(text)) => name = Some(text),
                ("Tsize", Value::Integer(size)) => {
                    tsize = Some(u64::try_from(size).map_err(|_| Malformed("the Tsize of a dag-pb link is negative"))?);
                }
                _ => {
                    let fields =
                        "a dag-pb link has a link as Hash, a string as Name, an integer as Tsize, and nothing else";
                    return Err(Malformed(fields));
                }
            }
        }
        Ok(Link { cid: cid.ok_or(Malformed("a link of a dag-pb node has no Hash"))?, name, tsize })
    }
}
