//! An archive that is being sent, in parts of one size.

use minicbor::{Decode, Encode};

use crate::{
    backend::Feed,
    car::{self, Index},
    error::Result,
};

/// How archives are cut; and lists of blocks likewise.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Bytes of each part but the last: some services want them all alike, and most take none of fewer than 5 MiB.
    pub part: usize,
    /// Blocks of one archive: no more than there can be parts of, and so few that its index is read at once.
    pub blocks: u32,
    /// Keys that are told at once.
    pub page: u32,
}

impl Default for Cut {
    fn default() -> Self {
        Cut { part: 8 * 1024 * 1024, blocks: 16 * 1024, page: 1_000 }
    }
}

/// How far an archive has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Draft {
    /// The upload's id, where it comes in parts.
    #[n(0)]
    pub upload: Option<String>,
    /// What the service named the parts that it has.
    #[n(1)]
    pub etags: Vec<String>,
    /// Bytes of the archive in them.
    #[n(2)]
    pub bytes: u64,
    /// Bytes of the next block's section that are among these.
    #[n(3)]
    skip: u64,
    /// Blocks of which something is among these, and the index of them.
    #[n(4)]
    blocks: u32,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    index: Vec<u8>,
    /// Whether that is all.
    #[n(6)]
    pub ended: bool,
}

impl Draft {
    /// One that is to come in parts.
    pub fn begun(upload: String) -> Self {
        Draft { upload: Some(upload), ..Draft::default() }
    }

    /// The next part, from a feed that is at its place; what comes after it is for the part after that.
    pub async fn fill(&mut self, feed: &mut Feed, cut: Cut) -> Result<Vec<u8>> {
        let mut index = self.index();
        let mut part = Vec::new();
        if self.bytes == 0 {
            part.extend(car::header(std::slice::from_ref(feed.root())));
        }
        while part.len() < cut.part {
            let Some(block) = feed.peek().await?.filter(|_| self.skip > 0 || self.blocks < cut.blocks) else {
                self.ended = true;
                break;
            };
            if self.skip == 0 {
                index.push(block.cid(), self.bytes + part.len() as u64);
                self.blocks += 1;
            }
            let head = car::section_head(block.cid(), block.bytes().len());
            let mut skip = self.skip as usize;
            let mut left = 0;
            for piece in [head.as_slice(), block.bytes()] {
                let rest = piece.get(skip..).unwrap_or_default();
                skip = skip.saturating_sub(piece.len());
                let (now, later) = rest.split_at(rest.len().min(cut.part - part.len()));
                part.extend_from_slice(now);
                (self.skip, left) = (self.skip + now.len() as u64, left + later.len());
            }
            if left == 0 {
                self.skip = 0;
                feed.next().await?;
            }
        }
        self.bytes += part.len() as u64;
        self.index = index.encode();
        Ok(part)
    }

    /// The index of what it has, as it is stored.
    pub fn into_index(self) -> Vec<u8> {
        self.index().encode()
    }

    fn index(&self) -> Index {
        Index::decode(&self.index).unwrap_or_default()
    }
}
