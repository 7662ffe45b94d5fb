//! Texts that are CIDs, and those that are none.

use cid::Version;
use ipfs_kit_storage::{
    Cid, Error,
    block::{self, Codec},
    hash::{HashFunction, MAX_IDENTITY_BYTES},
};
use multihash::Multihash;
use proptest::prelude::*;

const V1: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const V0: &str = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";

fn v1(codec: u64, hash: u64, digest: &[u8]) -> String {
    Cid::new_v1(codec, Multihash::wrap(hash, digest).unwrap()).to_string()
}

#[test]
fn known_cids_are_read_and_written_canonically() {
    for text in [V1, V0] {
        assert_eq!(block::parse(text).unwrap().to_string(), text);
    }
    let cid = block::parse(V1).unwrap();
    for base in
        [multibase::Base::Base58Btc, multibase::Base::Base36Lower, multibase::Base::Base16Upper, multibase::Base::Base2]
    {
        assert_eq!(block::parse(&cid.to_string_of_base(base).unwrap()).unwrap().to_string(), V1, "{base:?}");
    }
    for function in HashFunction::ALL {
        for codec in [Codec::Raw, Codec::DagPb, Codec::DagCbor, Codec::DagJson] {
            let text = v1(codec.code(), function.code(), &vec![7; function.digest_bytes()]);
            assert_eq!(block::parse(&text).unwrap().to_string(), text);
        }
    }
    for length in [0, 1, MAX_IDENTITY_BYTES] {
        assert!(block::parse(&v1(0x55, 0, &vec![1; length])).is_ok(), "identity of {length} bytes");
    }
}

#[test]
fn everything_else_is_an_invalid_cid() {
    let long_identity = {
        let mut bytes = vec![1, 0x55, 0, 0x81, 0x01];
        bytes.extend([1; 129]);
        multibase::encode(multibase::Base::Base32Lower, bytes)
    };
    let texts = [
        ("empty", String::new()),
        ("blank", " ".into()),
        ("a path up", "../x".into()),
        ("an absolute path", "/etc/passwd".into()),
        ("an IPFS path", format!("/ipfs/{V1}")),
        ("a CID in a path", format!("{V1}/a")),
        ("a path hidden behind a delimiter", format!("x/ipfs/{V1}")),
        ("a Windows path", "C:\\x".into()),
        ("a URI", format!("ipfs://{V1}")),
        ("a newline", format!("{V1}\n")),
        ("a null byte", format!("{V1}\0")),
        ("overlong", "b".repeat(100_000)),
        ("an unknown multibase", format!("!{}", &V1[1..])),
        ("another multibase's alphabet", format!("f{}", &V1[1..])),
        ("cut off", V1[..40].into()),
        ("a digest with more behind it", {
            let mut bytes = block::parse(V1).unwrap().to_bytes();
            bytes.push(0);
            multibase::encode(multibase::Base::Base32Lower, bytes)
        }),
        ("CIDv0 cut off", V0[..45].into()),
        ("CIDv0 with a wrong letter", V0.replace('f', "0")),
        ("CIDv0 in a multibase", format!("z{V0}")),
        ("an invented CID", format!("bafy{}", "0123456789abcdef".repeat(4).get(..56).unwrap())),
        ("an unknown codec", v1(0x9999, 0x12, &[7; 32])),
        ("an unknown hash", v1(0x55, 0x9999, &[7; 32])),
        ("SHA-1", v1(0x55, 0x11, &[7; 20])),
        ("a short digest", v1(0x55, 0x12, &[7; 20])),
        ("a long digest", v1(0x55, 0x1e, &[7; 64])),
        ("an identity digest over the limit", long_identity),
        ("version 2", {
            let mut bytes = block::parse(V1).unwrap().to_bytes();
            bytes[0] = 2;
            multibase::encode(multibase::Base::Base32Lower, bytes)
        }),
    ];
    for (what, text) in texts {
        let outcome = block::parse(&text);
        assert!(matches!(outcome, Err(Error::InvalidCid { .. })), "{what}: {outcome:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        if let Ok(cid) = block::parse(&text) {
            prop_assert_eq!(block::parse(&cid.to_string()).unwrap(), cid);
        }
    }

    #[test]
    fn what_is_named_is_read_back(digest in prop::array::uniform32(any::<u8>()), v0: bool) {
        let digest = Multihash::wrap(HashFunction::Sha2_256.code(), &digest).unwrap();
        let cid = block::new_cid(if v0 { Version::V0 } else { Version::V1 }, Codec::DagPb, digest);
        prop_assert_eq!(block::parse(&cid.to_string()).unwrap(), cid.clone());
        prop_assert_eq!(block::key(&cid), Some(digest));
    }
}
