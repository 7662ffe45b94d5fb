//! Codecs of linked data, and the data model that they share.

pub mod cbor;
pub mod json;
pub mod pb;
pub(crate) mod protobuf;
mod value;

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

/// What a block says, whatever its codec.
pub fn value(block: &Block) -> Result<Value> {
    let bytes = block.bytes();
    let value = match Codec::of(block.cid())? {
        Codec::Raw => Ok(Value::Bytes(bytes.clone())),
        Codec::DagPb => pb::Node::decode(bytes).map(Value::from),
        Codec::DagCbor => cbor::decode(bytes),
        Codec::DagJson => json::decode(bytes),
    };
    value.map_err(|malformed| unsupported(block, &malformed))
}

/// Verified bytes that are not what their codec has: nothing is damaged here, they were made like that.
fn unsupported(block: &Block, malformed: &Malformed) -> Error {
    Error::Unsupported(format!("{}: {malformed}", block.cid()))
}
