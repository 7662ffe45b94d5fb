//! Names in directories, in one node or in shards, and symbolic links.

use super::{
    data::{Data, Kind},
    hamt,
    reader::{BlockSource, one},
    resolve::hint,
};
use crate::{
    block::{Block, Cid, Codec},
    dag::pb::{Link, Malformed, Outline},
    error::{Error, Result},
};

/// The hash that places names in shards (multicodec murmur3-x64-64), the one in use.
pub(super) const MURMUR3: u64 = 0x22;

/// Buckets of a shard: powers of two in these bounds (UnixFS specification). Kubo and Helia make 256; more than 1,024 have
/// been used to exhaust readers' memory (CVE-2023-23625).
const FANOUTS: std::ops::RangeInclusive<u64> = 8..=1024;

/// A node on the way.
pub(super) enum Entry {
    /// One, or a part of one.
    File,
    /// All names in one node.
    Directory(Outline),
    /// Some of the names, each in the bucket of its hash.
    Shard(Shard),
    /// A symbolic link, and where it points.
    Symlink(String),
}

/// A part of a directory that is too large for one node.
pub(super) struct Shard {
    cid: Cid,
    node: Outline,
    /// Bits of a name's hash that choose the bucket.
    pub bits: u32,
    /// Hexadecimal digits of the bucket in front of each name.
    digits: usize,
}

impl Entry {
    /// What kind of node it is.
    pub(super) async fn read(source: &dyn BlockSource, cid: &Cid) -> Result<Entry> {
        match Codec::of(cid)? {
            Codec::Raw => return Ok(Entry::File),
            Codec::DagPb => {}
            Codec::DagCbor | Codec::DagJson => {
                return Err(Error::Unsupported(format!("{cid} is no file or directory but a value of linked data")));
            }
        }
        let refused = |detail: &str| malformed(cid, detail);
        let (node, data) = read(source, cid).await?;
        match data.kind {
            Kind::File | Kind::Raw => Ok(Entry::File),
            Kind::Directory => Ok(Entry::Directory(node)),
            Kind::HamtShard => Shard::of(cid, node, &data).map(Entry::Shard),
            Kind::Symlink => {
                let target = data.data.unwrap_or_default().to_vec();
                String::from_utf8(target).map(Entry::Symlink).map_err(|_| refused("its target is not UTF-8"))
            }
            Kind::Metadata => Err(Error::Unsupported(format!("{cid} is metadata"))),
        }
    }

    /// What the first of `names` leads to in this directory.
    pub(super) async fn find(
        self,
        source: &dyn BlockSource,
        directory: &Cid,
        names: &[String],
    ) -> Result<Option<Link>> {
        let Some(name) = names.first() else { return Ok(None) };
        let mut shard = match self {
            Entry::Directory(node) => {
                let found = find_link(&node, |link| link == Some(name.as_bytes()));
                return found.map_err(|wrong| malformed(directory, wrong.0));
            }
            Entry::Shard(shard) => shard,
            Entry::File | Entry::Symlink(_) => return Ok(None),
        };
        let (hash, bits) = (hamt::hash(name), shard.bits);
        for depth in 0.. {
            // From the highest bits of the hash down, as many levels as it has bits for.
            let Some(bucket) = hamt::bucket(hash, bits, depth) else { break };
            let Some(link) = shard.bucket(bucket)? else { return Ok(None) };
            match link.name.as_deref().and_then(|text| text.get(shard.digits..)).unwrap_or_default() {
                "" => {}
                entry => return Ok((entry == name).then(|| Link { name: Some(name.clone()), ..link })),
            }
            let below = link.cid;
            hint(source, &below, directory, names);
            shard = match Entry::read(source, &below).await? {
                Entry::Shard(shard) if shard.bits == bits => shard,
                _ => return Err(malformed(&below, "it is no shard like the one above it")),
            };
        }
        Err(malformed(directory, "its shards are deeper than any hash"))
    }
}

/// What a name stands for in a directory; none if it has no such name.
pub async fn find(source: &dyn BlockSource, directory: &Cid, name: &str) -> Result<Option<Link>> {
    let read = Entry::read(source, directory).await?;
    read.find(source, directory, &[name.to_owned()]).await
}

/// The first link whose name is this one: of two with one name it counts, so that all readers find the same.
fn find_link(node: &Outline, is_it: impl Fn(Option<&[u8]>) -> bool) -> Result<Option<Link>, Malformed> {
    for at in 0..node.len() {
        if is_it(node.name(at)?) {
            return node.link(at).map(Some);
        }
    }
    Ok(None)
}

/// A node, and what UnixFS says of it.
pub(super) async fn read(source: &dyn BlockSource, cid: &Cid) -> Result<(Outline, Data)> {
    let block = one(source.blocks(std::slice::from_ref(cid)).await?, cid)?;
    decode(&block)
}

pub(super) fn decode(block: &Block) -> Result<(Outline, Data)> {
    let refused = |wrong: &str| malformed(block.cid(), wrong);
    let node = Outline::decode(block.bytes()).map_err(|wrong| refused(wrong.0))?;
    let message = node.data.as_ref().ok_or_else(|| refused("a dag-pb node without UnixFS data"))?;
    let data = Data::decode(message).map_err(|wrong| refused(wrong.0))?;
    Ok((node, data))
}

/// A directory's or shard's links, all of them.
pub(super) fn links(cid: &Cid, node: &Outline) -> Result<Vec<Link>> {
    node.links().map_err(|wrong| malformed(cid, wrong.0))
}

impl Shard {
    /// The shard with this CID.
    pub async fn read(source: &dyn BlockSource, cid: &Cid) -> Result<Shard> {
        let (node, data) = read(source, cid).await?;
        Shard::of(cid, node, &data)
    }

    /// A shard, its bit field proven to fit its links: else two readers could find two things.
    pub fn of(cid: &Cid, node: Outline, data: &Data) -> Result<Shard> {
        let bits = Shard::bits(data).map_err(|wrong| malformed(cid, wrong.0))?;
        let shard = Shard { cid: cid.clone(), node, bits, digits: bits.div_ceil(4) as usize };
        shard.check(data).map_err(|wrong| malformed(cid, wrong.0))?;
        Ok(shard)
    }

    fn bits(data: &Data) -> Result<u32, Malformed> {
        if data.hash_type != Some(MURMUR3) {
            return Err(Malformed("a shard's hash is not murmur3-x64-64"));
        }
        let fanout = data.fanout.filter(|fanout| FANOUTS.contains(fanout) && fanout.is_power_of_two());
        let fanout = fanout.ok_or(Malformed("a shard's fanout is not a power of two from 8 to 1024"))?;
        Ok(fanout.ilog2())
    }

    fn check(&self, data: &Data) -> Result<(), Malformed> {
        // The last byte holds the first buckets; zeros in front may be left out.
        let field = data.data.as_deref().unwrap_or_default();
        if field.len() > (1 << self.bits) / 8 {
            return Err(Malformed("a shard's bit field is longer than its fanout"));
        }
        let mut unseen = field.to_vec();
        unseen.reverse();
        for at in 0..self.node.len() {
            let bucket = self.bucket_of(self.node.name(at)?);
            let bucket = bucket.ok_or(Malformed("the name of a shard's link does not begin with its bucket"))?;
            let bit = 1 << (bucket % 8);
            match unseen.get_mut(bucket as usize / 8) {
                Some(byte) if *byte & bit != 0 => *byte ^= bit,
                _ => return Err(Malformed("a shard's bit field does not have its links")),
            }
        }
        if unseen.iter().any(|byte| *byte != 0) {
            return Err(Malformed("a shard's bit field has more than its links"));
        }
        Ok(())
    }

    /// Of each link the bucket, in their order, and the name of its entry; that of a shard below is empty.
    pub fn entries(&self) -> Result<Vec<(u64, String, Link)>> {
        let entry = |mut link: Link| {
            let bucket = self.bucket_of(link.name.as_deref().map(str::as_bytes))?;
            let name = link.name.take().map(|mut name| name.split_off(self.digits)).unwrap_or_default();
            Some((bucket, name, link))
        };
        Ok(links(&self.cid, &self.node)?.into_iter().filter_map(entry).collect())
    }

    fn bucket(&self, bucket: u64) -> Result<Option<Link>> {
        let found = find_link(&self.node, |name| self.bucket_of(name) == Some(bucket));
        found.map_err(|wrong| malformed(&self.cid, wrong.0))
    }

    /// The bucket that a link's name begins with.
    fn bucket_of(&self, name: Option<&[u8]>) -> Option<u64> {
        let digits = name?.get(..self.digits)?;
        let upper = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
        let digits = str::from_utf8(digits).ok()?;
        u64::from_str_radix(digits, 16).ok().filter(|bucket| upper && *bucket < 1 << self.bits)
    }
}

/// Verified bytes that are no directory as UnixFS has it: nothing is damaged here, it was made like that.
pub(super) fn malformed(cid: &Cid, detail: &str) -> Error {
    Error::Unsupported(format!("{cid} is no well-formed UnixFS directory: {detail}"))
}
