//! Codecs of linked data.

pub mod pb;
pub(crate) mod protobuf;

use crate::{
    block::{Block, Cid, Codec},
    error::{Error, Result},
};

/// The CIDs that a block links to, in their order.
pub fn links(block: &Block) -> Result<Vec<Cid>> {
    match Codec::of(block.cid())? {
        Codec::Raw => Ok(Vec::new()),
        Codec::DagPb => {
            let node = pb::Node::decode(block.bytes())
                .map_err(|malformed| Error::Unsupported(format!("{}: {malformed}", block.cid())))?;
            Ok(node.links.into_iter().map(|link| link.cid).collect())
        }
        Codec::DagCbor | Codec::DagJson => {
            Err(Error::Unsupported("dag-cbor and dag-json blocks are not walked yet".into()))
        }
    }
}
