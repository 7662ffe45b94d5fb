//! dag-cbor, dag-json and dag-pb: the fixtures of the IPLD project, what must be refused, and values of all kinds.

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid,
    block::{self, Codec},
    dag::{self, INTEGERS, MAX_DEPTH, Map, Value, cbor, json},
    hash::{CpuHasher, HashFunction},
};
use proptest::prelude::*;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/codecs")
}

fn name(codec: Codec, bytes: Vec<u8>) -> Block {
    let made = Block::make(&CpuHasher, Version::V1, codec, HashFunction::Sha2_256, vec![bytes.into()]);
    block_on(made).unwrap().remove(0)
}

#[test]
fn the_fixtures_of_the_ipld_project_become_each_other() {
    let (mut checked, mut linking) = (BTreeMap::new(), 0);
    for fixture in fs::read_dir(fixtures().join("fixtures")).unwrap() {
        let fixture = fixture.unwrap().path();
        if !fixture.is_dir() {
            continue;
        }
        let forms: Vec<(Codec, Cid, Bytes)> = fs::read_dir(&fixture)
            .unwrap()
            .map(|form| {
                let form = form.unwrap().path();
                let codec = match form.extension().unwrap().to_str().unwrap() {
                    "dag-pb" => Codec::DagPb,
                    "dag-cbor" => Codec::DagCbor,
                    "dag-json" => Codec::DagJson,
                    other => panic!("{other}"),
                };
                (
                    codec,
                    block::parse(form.file_stem().unwrap().to_str().unwrap()).unwrap(),
                    fs::read(form).unwrap().into(),
                )
            })
            .collect();
        for (from, cid, bytes) in &forms {
            let value = dag::decode(*from, bytes).unwrap_or_else(|refused| panic!("{fixture:?} {from:?}: {refused}"));
            for (to, expected, canonical) in &forms {
                let written = dag::encode(*to, &value).unwrap();
                assert_eq!(written, *canonical, "{fixture:?} from {from:?} to {to:?}");
                assert_eq!(name(*to, written).cid(), expected, "{fixture:?}");
            }
            let mut links = Vec::new();
            value.links(&mut links);
            let block = name(*from, bytes.to_vec());
            assert_eq!((block.cid(), dag::links(&block).unwrap()), (cid, links.clone()));
            assert_eq!(dag::value(&block).unwrap(), value);
            linking += usize::from(!links.is_empty());
            *checked.entry(from.code()).or_insert(0) += 1;
        }
    }
    let counts = [Codec::DagPb, Codec::DagCbor, Codec::DagJson].map(|codec| checked[&codec.code()]);
    assert_eq!(counts, [17, 128, 128]);
    assert!(linking > 60, "{linking}");
}

fn hex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect::<Vec<_>>().into()
}

#[test]
fn the_negative_fixtures_are_refused() {
    let (mut decoded, mut encoded) = (0, 0);
    for (codec, folder) in [(Codec::DagCbor, "dag-cbor"), (Codec::DagJson, "dag-json"), (Codec::DagPb, "dag-pb")] {
        for way in ["decode", "encode"] {
            let Ok(files) = fs::read_dir(fixtures().join("negative-fixtures").join(folder).join(way)) else { continue };
            for file in files {
                let text = fs::read_to_string(file.unwrap().path()).unwrap();
                for case in serde_json::from_str::<serde_json::Value>(&text).unwrap().as_array().unwrap() {
                    if let Some(bytes) = case.get("hex") {
                        dag::decode(codec, &hex(bytes.as_str().unwrap())).expect_err(&case.to_string());
                        decoded += 1;
                    } else {
                        let value = json::decode(case["dag-json"].to_string().as_bytes()).unwrap();
                        dag::encode(codec, &value).expect_err(&case.to_string());
                        encoded += 1;
                    }
                }
            }
        }
    }
    assert_eq!((decoded, encoded), (11, 78));
}

#[test]
fn dag_cbor_has_one_form_for_each_value() {
    let cases = [
        ("1800", "a small integer in two bytes"),
        ("1817", "a small integer in two bytes"),
        ("1900ff", "a byte in two"),
        ("1a0000ffff", "two bytes in four"),
        ("1b00000000ffffffff", "four bytes in eight"),
        ("3817", "a small negative integer in two bytes"),
        ("5800", "a length in two bytes"),
        ("780161", "a length in two bytes"),
        ("980100", "a length in two bytes"),
        ("b801616100", "a length in two bytes"),
        ("d9002a450001550000", "the tag in three bytes"),
        ("f93c00", "a float of 16 bits"),
        ("fa3f800000", "a float of 32 bits"),
        ("fb7ff8000000000000", "no number"),
        ("fb7ff0000000000000", "infinity"),
        ("fbfff0000000000000", "minus infinity"),
        ("f7", "undefined"),
        ("f0", "a simple value"),
        ("f8ff", "a simple value in two bytes"),
        ("f814", "false in two bytes"),
        ("ff", "a break"),
        ("1c", "a reserved length"),
        ("9fff", "an endless list"),
        ("bfff", "an endless map"),
        ("5fff", "endless bytes"),
        ("7fff", "an endless string"),
        ("c000", "a date"),
        ("c249010000000000000000", "a large number"),
        ("d9d9f700", "a tag that describes itself"),
        ("d82a60", "a link that is text"),
        ("d82a40", "a link without bytes"),
        ("d82a4100", "a link to nothing"),
        ("d82a4401550000", "a link without the prefix"),
        ("d82a460001550000ff", "a link with more behind it"),
        ("a2616200616100", "keys out of order"),
        ("a262616100616200", "a longer key before a shorter one"),
        ("a2616100616100", "a key twice"),
        ("a10000", "a key that is a number"),
        ("a1416100", "a key that is bytes"),
        ("61ff", "no UTF-8"),
        ("63eda080", "half a surrogate"),
        ("0000", "two values"),
        ("8201", "a list that is cut off"),
        ("a161", "a map that is cut off"),
        ("6261", "a string that is cut off"),
        ("9b7fffffffffffffff", "a list too long to be true"),
        ("5bffffffffffffffff", "bytes too long to be true"),
        ("", "nothing"),
    ];
    for (bytes, what) in cases {
        assert!(cbor::decode(&hex(bytes)).is_err(), "{bytes}: {what}");
    }
    for bytes in
        ["00", "17", "1818", "20", "3bffffffffffffffff", "fb8000000000000000", "d82a450001550000", "a261620062616100"]
    {
        assert_eq!(cbor::encode(&cbor::decode(&hex(bytes)).unwrap()).unwrap(), hex(bytes), "{bytes}");
    }
}

const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

#[test]
fn what_dag_json_reserves_is_a_link_or_bytes_or_refused() {
    let refused = [
        r#"{"/":"foo"}"#.into(),
        r#"{"/":""}"#.into(),
        format!(r#"{{"/":"{CID}","bar":1}}"#),
        // That is the same map.
        format!(r#"{{"bar":1,"/":"{CID}"}}"#),
        format!(r#"{{"/":"{}"}}"#, CID.to_uppercase()),
        format!(r#"{{"/":" {CID}"}}"#),
        format!(r#"{{"/":"/ipfs/{CID}"}}"#),
        // Other bases, and version 0 with a prefix.
        r#"{"/":"zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn"}"#.into(),
        r#"{"/":"zQmWATWQ7fVPP2EFGu71UkfnqhYXDYH566qy47CnJDgvs8u"}"#.into(),
        r#"{"/":{"bytes":"AQ=="}}"#.into(),
        r#"{"/":{"bytes":"AR"}}"#.into(),
        r#"{"/":{"bytes":"A"}}"#.into(),
        r#"{"/":{"bytes":"-_"}}"#.into(),
        r#"{"/":{"bytes":"A Q"}}"#.into(),
        r#"{"/":{"bytes":"AQ","more":1}}"#.into(),
        r#"{"/":{"more":1,"bytes":"AQ"}}"#.into(),
        r#"{"/":{"bytes":"AQ"},"more":1}"#.into(),
    ];
    for text in refused {
        assert!(json::decode(text.as_bytes()).is_err(), "{text}");
    }
    let maps = [
        r#"{"/":true}"#.to_owned(),
        r#"{"/":{}}"#.into(),
        r#"{"/":{"bytes":true},"bar":1}"#.into(),
        r#"{"/":{"abar":1,"bytes":"not base64"}}"#.into(),
        format!(r#"{{"!":1,"/":"{CID}"}}"#),
        r#"{"!":1,"/":"foo"}"#.into(),
        format!(r#"{{"/":{{"/":"{CID}"}}}}"#),
        format!(r#"{{"/":[{{"/":"{CID}"}}]}}"#),
    ];
    for text in maps {
        let value = json::decode(text.as_bytes()).unwrap();
        assert!(matches!(&value, Value::Map(_)), "{text}");
        assert_eq!(json::encode(&value).unwrap(), text.as_bytes());
    }
    let cid = block::parse(CID).unwrap();
    assert_eq!(json::decode(format!(r#" {{ "/" : "{CID}" }} "#).as_bytes()), Ok(Value::link(cid)));
    assert_eq!(json::decode(br#"{"/": {"bytes": "AQ"}}"#), Ok(Value::Bytes(Bytes::from_static(&[1]))));
    // What could only be read as something else is not written.
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(Map::of(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).unwrap())
    };
    let text = || Value::String("foo".into());
    for value in [map(vec![("/", text())]), map(vec![("/", map(vec![("bytes", text())])), ("a", Value::Null)])] {
        assert!(json::encode(&value).is_err(), "{value:?}");
        assert_eq!(cbor::decode(&cbor::encode(&value).unwrap().into()), Ok(value));
    }
}

#[test]
fn dag_json_tells_floats_from_integers_and_reads_what_others_write() {
    let text = |value: Value| String::from_utf8(json::encode(&value).unwrap()).unwrap();
    for (float, expected) in
        [(1.0, "1.0"), (-0.0, "-0.0"), (1e20, "100000000000000000000.0"), (1e21, "1e+21"), (1.5e-7, "1.5e-7")]
    {
        assert_eq!(text(Value::Float(float)), expected);
        let Ok(Value::Float(back)) = json::decode(expected.as_bytes()) else { panic!("{expected}") };
        assert_eq!(back.to_bits(), f64::to_bits(float));
    }
    for (read, expected) in [
        ("1E2", "100.0"),
        ("-0", "0"),
        (" [ 1 ,\n2 ] ", "[1,2]"),
        ("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"),
        (r#""\u0041\/\u00e9\ud83d\ude00""#, "\"A/é😀\""),
        (r#""\u0000\u001f\n\r\t\b\f\"\\\u007f""#, "\"\\u0000\\u001f\\n\\r\\t\\b\\f\\\"\\\\\u{7f}\""),
    ] {
        assert_eq!(text(json::decode(read.as_bytes()).unwrap()), expected);
    }
    for refused in [
        "1e400",
        "-1e400",
        "18446744073709551616",
        "-18446744073709551617",
        "NaN",
        "Infinity",
        "1.",
        ".5",
        "01",
        "+1",
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"\\u0061\":1}",
        "[1,]",
        "nul",
        "\"\\ud800\"",
        "1 2",
        "",
        "\u{feff}1",
        "[",
        "{\"a\"",
        "{\"a\" 1}",
    ] {
        assert!(json::decode(refused.as_bytes()).is_err(), "{refused}");
    }
    assert!(json::decode(b"\"\xff\"").is_err());
    for value in [
        Value::Float(f64::NAN),
        Value::Float(f64::INFINITY),
        Value::Integer(INTEGERS.end() + 1),
        Value::Integer(INTEGERS.start() - 1),
    ] {
        assert!(json::encode(&value).is_err() && cbor::encode(&value).is_err(), "{value:?}");
    }
}

#[test]
fn values_are_read_and_written_as_deep_as_is_allowed_and_no_deeper() {
    let cid = block::parse(CID).unwrap();
    for inner in [Value::Bytes(Bytes::from_static(b"1")), Value::link(cid), Value::Null] {
        for map in [false, true] {
            let wrap = |value, _| match map {
                true => Value::Map(Map::of(vec![("a".into(), value)]).unwrap()),
                false => Value::List(vec![value]),
            };
            let deep = (0..MAX_DEPTH).fold(inner.clone(), wrap);
            assert_eq!(cbor::decode(&cbor::encode(&deep).unwrap().into()).as_ref(), Ok(&deep));
            let written = json::encode(&deep).unwrap();
            assert_eq!(json::decode(&written).as_ref(), Ok(&deep));
            let too_deep = wrap(deep, 0);
            assert!(cbor::encode(&too_deep).is_err() && json::encode(&too_deep).is_err());
            let (before, after) = if map { ("{\"a\":", "}") } else { ("[", "]") };
            let text = [before.as_bytes(), &written, after.as_bytes()].concat();
            assert!(json::decode(&text).is_err());
        }
    }
    assert!(cbor::decode(&[vec![0x81; MAX_DEPTH + 1], vec![0]].concat().into()).is_err());
    for endless in [vec![0x81; 1 << 20], b"[".repeat(1 << 20), b"{\"/\":".repeat(1 << 18)] {
        assert!(cbor::decode(&endless.clone().into()).is_err() && json::decode(&endless).is_err());
    }
}

#[test]
fn what_a_name_leads_to() {
    let value = json::decode(br#"{"a":[1,{"b":"c"}],"":2,"0":3}"#).unwrap();
    assert_eq!(value.get("0"), Some(&Value::Integer(3)));
    assert_eq!(value.get(""), Some(&Value::Integer(2)));
    let list = value.get("a").unwrap();
    assert_eq!(list.get("0"), Some(&Value::Integer(1)));
    assert_eq!(list.get("1").and_then(|map| map.get("b")), Some(&Value::String("c".into())));
    for none in ["2", "-1", "+1", "01", "", "1.0", "b"] {
        assert_eq!(list.get(none), None, "{none}");
    }
    assert_eq!(value.get("b"), None);
    assert_eq!(Value::String("abc".into()).get("0"), None);
}

fn values() -> impl Strategy<Value = Value> {
    let digest = prop::collection::vec(any::<u8>(), 0..40);
    let link = (any::<u16>(), digest).prop_map(|(codec, digest)| {
        let hash = multihash::Multihash::wrap(0, &digest).unwrap();
        Value::link(Cid::new_v1(codec.into(), hash))
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        INTEGERS.prop_map(Value::Integer),
        (-300_i128..300).prop_map(Value::Integer),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Value::Float),
        any::<i16>().prop_map(|whole| Value::Float(whole.into())),
        any::<String>().prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        link,
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let name = prop_oneof![any::<String>(), "[a-c/!]{0,3}", Just("bytes".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::btree_map(name, inner, 0..8)
                .prop_map(|entries| Value::Map(Map::of(entries.into_iter().collect()).unwrap())),
        ]
    })
}

/// Bits tell -0 from 0, which are equal.
fn same(one: &Value, other: &Value) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

proptest! {
    #[test]
    fn values_come_back(value in values()) {
        let written = cbor::encode(&value).unwrap();
        prop_assert!(same(&cbor::decode(&written.into()).unwrap(), &value));
        // Some are not to be said in dag-json.
        if let Ok(written) = json::encode(&value) {
            prop_assert!(same(&json::decode(&written).unwrap(), &value));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok());
        }
    }

    #[test]
    fn what_is_read_of_dag_cbor_is_written_alike(bytes: Vec<u8>, mut damaged in values().prop_map(|value| cbor::encode(&value).unwrap()), at: prop::sample::Index, byte: u8) {
        for bytes in [bytes, { let at = at.index(damaged.len()); damaged[at] = byte; damaged }] {
            if let Ok(value) = cbor::decode(&bytes.clone().into()) {
                prop_assert_eq!(cbor::encode(&value).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn what_is_read_of_dag_json_is_written_in_one_form(bytes: Vec<u8>, text in r#"[\[\]{},:"0-9eE.\\/ubytes -]{0,24}"#, mut damaged in values().prop_filter_map("not to be said", |value| json::encode(&value).ok()), at: prop::sample::Index, byte: u8) {
        for bytes in [bytes, text.into_bytes(), { let at = at.index(damaged.len()); damaged[at] = byte; damaged }] {
            if let Ok(value) = json::decode(&bytes) {
                let written = json::encode(&value).unwrap();
                prop_assert!(same(&json::decode(&written).unwrap(), &value));
            }
        }
    }
}
