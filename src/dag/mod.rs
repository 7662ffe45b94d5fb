//! Codecs of linked data, and the data model that they share.

pub mod cbor;
pub mod json;
pub mod pb;
pub(crate) mod protobuf;
mod value;

use bytes::Bytes;

pub use self::{
    protobuf::Malformed,
    value::{INTEGERS, MAX_DEPTH, Map, Value},
};
use crate::{
    block::{Block, Cid, Codec},
    error::{Error, Result},
};

const TOO_DEEP: Malformed = Malformed("lists and maps are nested more than 256 deep");
const TOO_LARGE: Malformed = Malformed("an integer has more than 64 bits");
const NO_NUMBER: Malformed = Malformed("a float is infinite, or no number");

/// The CIDs that a block links to, in their order.
pub fn links(block: &Block) -> Result<Vec<Cid>> {
    let mut found = Vec::new();
    match Codec::of(block.cid())? {
        Codec::Raw => {}
        Codec::DagPb => {
            let node = pb::Node::decode(block.bytes()).map_err(|malformed| unsupported(block, &malformed))?;
            found.extend(node.links.into_iter().map(|link| link.cid));
        }
        Codec::DagCbor | Codec::DagJson => value(block)?.links(&mut found),
    }
    Ok(found)
}

/// Whether nothing is below it: raw bytes, or what has a codec that is not known here, as a value may link to.
pub fn is_leaf(cid: &Cid) -> bool {
    Codec::of(cid).map_or(true, |codec| codec == Codec::Raw)
}

/// Twenty bytes stand for a node: that nobody finds two alike matters, for the second would not be walked.
pub fn mark(cid: &Cid) -> [u8; 20] {
    let mut mark = [0; 20];
    let codec = cid.codec().to_le_bytes();
    mark.iter_mut().zip(codec.iter().take(2).chain(cid.hash().digest())).for_each(|(to, from)| *to = *from);
    mark
}

/// What a block says, whatever its codec.
pub fn value(block: &Block) -> Result<Value> {
    decode(Codec::of(block.cid())?, block.bytes()).map_err(|malformed| unsupported(block, &malformed))
}

/// Reads a value.
pub fn decode(codec: Codec, bytes: &Bytes) -> Result<Value, Malformed> {
    match codec {
        Codec::Raw => Ok(Value::Bytes(bytes.clone())),
        Codec::DagPb => pb::Node::decode(bytes).map(Value::from),
        Codec::DagCbor => cbor::decode(bytes),
        Codec::DagJson => json::decode(bytes),
    }
}

/// Writes a value, if it is one that the codec has: raw has bytes alone, dag-pb its nodes.
pub fn encode(codec: Codec, value: &Value) -> Result<Vec<u8>, Malformed> {
    match (codec, value) {
        (Codec::Raw, Value::Bytes(bytes)) => Ok(bytes.to_vec()),
        (Codec::Raw, _) => Err(Malformed("a raw block is bytes, and no other value")),
        (Codec::DagPb, _) => pb::Node::try_from(value.clone()).map(|node| node.encode()),
        (Codec::DagCbor, _) => cbor::encode(value),
        (Codec::DagJson, _) => json::encode(value),
    }
}

/// Verified bytes that are not what their codec has: nothing is damaged here, they were made like that.
fn unsupported(block: &Block, malformed: &Malformed) -> Error {
    Error::Unsupported(format!("{}: {malformed}", block.cid()))
}
