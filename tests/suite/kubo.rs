//! What a node's answers mean, as Kubo and js-ipfs give them, and what it is asked.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Block, Cid,
    block::{self, Codec},
    car::{CarDecoder, Item},
    hash::{CpuHasher, HashFunction},
    platform::http::{Body, Http, Method, Request, Response},
    remote::{Failure, Kubo, Remote},
};

/// Answers as it was told, one after the other, and takes note of what it was asked.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<(u16, String)>>,
    asked: RefCell<Vec<Request>>,
    read: Rc<Cell<usize>>,
}

struct Text {
    left: Bytes,
    read: Rc<Cell<usize>>,
}

#[async_trait(?Send)]
impl Body for Text {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let piece = self.left.split_to(self.left.len().min(1000));
        self.read.set(self.read.get() + piece.len());
        Ok((!piece.is_empty()).then_some(piece))
    }
}

#[async_trait(?Send)]
impl Http for Script {
    async fn send(&self, request: Request) -> Result<Response, Failure> {
        assert_eq!(request.method, Method::Post, "an RPC takes nothing else");
        self.asked.borrow_mut().push(request);
        let (status, text) = self.answers.borrow_mut().pop_front().expect("nothing more is asked");
        let headers = vec![("retry-after".to_owned(), "2".to_owned())];
        Ok(Response { status, headers, body: Box::new(Text { left: text.into(), read: self.read.clone() }) })
    }
}

fn node(answers: &[(u16, &str)]) -> (Rc<Script>, Kubo) {
    let script = Rc::new(Script::default());
    script.answers.borrow_mut().extend(answers.iter().map(|(status, text)| (*status, (*text).to_owned())));
    (script.clone(), Kubo::new(script, "http://node.test:5001/").unwrap())
}

fn made(codec: Codec, function: HashFunction, bytes: &'static [u8]) -> Block {
    block_on(Block::make(&CpuHasher, Version::V1, codec, function, vec![bytes.into()])).unwrap().remove(0)
}

fn raw(bytes: &'static [u8]) -> Block {
    made(Codec::Raw, HashFunction::Sha2_256, bytes)
}

fn legacy(bytes: &'static [u8]) -> Block {
    let cid = made(Codec::DagPb, HashFunction::Sha2_256, bytes).cid().clone();
    let cid = block::new_cid(Version::V0, Codec::DagPb, block::key(&cid).unwrap());
    block_on(Block::verify(&CpuHasher, vec![(cid, bytes.into())])).unwrap().remove(0).unwrap()
}

fn named(cid: &Cid) -> String {
    format!("{{\"Key\":\"{cid}\",\"Size\":5}}\n")
}

/// The file in a form.
fn file(request: &Request) -> Bytes {
    let body = request.body.clone().unwrap();
    let (_, kind) = request.headers.iter().find(|(name, _)| *name == "content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let start = body.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let tail = format!("\r\n--{boundary}--\r\n");
    assert!(body.starts_with(format!("--{boundary}\r\n").as_bytes()) && body.ends_with(tail.as_bytes()));
    body.slice(start..body.len() - tail.len())
}

fn archived(request: &Request) -> Vec<Cid> {
    let mut decoder = CarDecoder::new();
    decoder.push(&file(request));
    let mut cids = Vec::new();
    while let Some(item) = decoder.next_item().unwrap() {
        if let Item::Block(cid, _) = item {
            cids.push(cid);
        }
    }
    decoder.finish().unwrap();
    cids
}

#[test]
fn a_status_and_its_text_mean_something() {
    let long = "x".repeat(100_000);
    let refused = |said: &str| Failure::Refused(said.into());
    let unreachable = |said: &str| Failure::Unreachable(said.into());
    let cases = [
        (
            400,
            r#"{"Message":"argument \"key\" is required","Code":1,"Type":"error"}"#,
            refused("status 400: argument \"key\" is required"),
        ),
        (401, "", refused("status 401")),
        (403, "403 - Forbidden\n", refused("status 403: 403 - Forbidden")),
        (405, r#"{"Message":"Method Not Allowed","Code":1}"#, refused("status 405: Method Not Allowed")),
        (
            413,
            r#"{"Message":"Payload content length greater than maximum allowed: 2101248"}"#,
            refused("status 413: Payload content length greater than maximum allowed: 2101248"),
        ),
        (404, "404 page not found", Failure::Unsupported("this call".into())),
        (429, "", Failure::Busy(Some(2000))),
        (503, "", Failure::Busy(Some(2000))),
        (502, "<html>", unreachable("status 502")),
        (
            500,
            r#"{"Message":"block was not found locally (offline): ipld: could not find bafk","Code":0}"#,
            Failure::NotFound,
        ),
        (500, r#"{"Message":"path 'bafk' is not pinned","Code":0}"#, Failure::NotFound),
        (500, r#"{"Message":"blockstore: Block Not Found","Code":0}"#, Failure::NotFound),
        (
            500,
            r#"{"Message":"Failed to get block: request timed out","Code":0}"#,
            unreachable("Failed to get block: request timed out"),
        ),
        (500, r#"{"Message":"context deadline exceeded","Code":0}"#, unreachable("context deadline exceeded")),
        (500, r#"{"Message":"lock is held","Code":0}"#, unreachable("lock is held")),
        (500, "no JSON", unreachable("no JSON")),
        (500, &long, unreachable(&long[..200])),
        (400, &long, refused(&format!("status 400: {}", &long[..200]))),
    ];
    for (status, text, expected) in cases {
        let (script, node) = node(&[(status, text)]);
        assert_eq!(block_on(node.block(raw(b"hello").cid())).err(), Some(expected), "{status} {text:.80}");
        assert!(script.read.get() <= 6000, "{} bytes were read of a complaint", script.read.get());
    }
}

#[test]
fn one_block_is_put_as_itself() {
    let cases = [
        (raw(b"hello"), "format=raw&version=1&mhtype=sha2-256"),
        (made(Codec::Raw, HashFunction::Sha2_512, b"hello"), "format=raw&version=1&mhtype=sha2-512"),
        (made(Codec::DagPb, HashFunction::Blake3, b""), "format=dag-pb&version=1&mhtype=blake3"),
        (made(Codec::DagCbor, HashFunction::Sha2_256, b"\xa0"), "format=dag-cbor&version=1&mhtype=sha2-256"),
        (made(Codec::DagJson, HashFunction::Sha2_256, b"{}"), "format=dag-json&version=1&mhtype=sha2-256"),
        (legacy(b"\x0a\x02\x08\x01"), "format=v0&version=0&mhtype=sha2-256"),
    ];
    for (block, query) in cases {
        let (script, node) = node(&[(200, &named(block.cid()))]);
        block_on(node.put(std::slice::from_ref(&block))).unwrap();
        let asked = script.asked.borrow();
        assert_eq!(asked[0].url, format!("http://node.test:5001/api/v0/block/put?{query}&allow-big-block=true"));
        assert_eq!(file(&asked[0]), block.bytes());
    }
}

#[test]
fn the_key_that_comes_back_counts() {
    let (block, other) = (raw(b"hello"), raw(b"other"));
    let base58 = format!(
        "z{}",
        cid::multibase::encode(cid::multibase::Base::Base58Btc, block.cid().to_bytes()).trim_start_matches('z')
    );
    let old = legacy(b"\x0a\x02\x08\x01");
    let newer = block::new_cid(Version::V1, Codec::DagPb, block::key(old.cid()).unwrap());
    let other_codec = block::new_cid(Version::V1, Codec::DagPb, block::key(block.cid()).unwrap());
    let cases = [
        (&block, format!("{{\"Key\":\"{base58}\"}}"), true),
        (&old, named(&newer), true),
        (&block, named(other.cid()), false),
        (&block, named(&other_codec), false),
        (&block, "{\"Key\":\"nonsense\"}".into(), false),
        (&block, "{}".into(), false),
        (&block, "<html>".into(), false),
        (&block, String::new(), false),
    ];
    for (block, answer, well) in cases {
        let (_, node) = node(&[(200, &answer)]);
        match block_on(node.put(std::slice::from_ref(block))) {
            Ok(()) => assert!(well, "{answer}"),
            Err(Failure::Broken(_)) => assert!(!well, "{answer}"),
            Err(failure) => panic!("{answer}: {failure:?}"),
        }
    }
}

#[test]
fn several_are_imported_and_what_is_said_to_that_counts() {
    let blocks = [raw(b"one"), raw(b"two"), legacy(b"\x0a\x02\x08\x01")];
    let root = r#"{"Root":{"Cid":{"/":"bafkqaaa"},"PinErrorMsg":""}}"#;
    let failed = r#"{"Root":{"Cid":{"/":"bafkqaaa"},"PinErrorMsg":"the disk is full"}}"#;
    let stats = |count| format!(r#"{{"Stats":{{"BlockCount":{count},"BlockBytesCount":6}}}}"#);
    let cases = [
        (String::new(), None),
        ("\n".into(), None),
        (format!("{root}\n{}\n", stats(3)), None),
        (format!("{}\n", stats(2)), Some(Failure::Broken("it took 2 blocks of 3".into()))),
        (format!("{root}\n{failed}\n"), Some(Failure::Unreachable("the disk is full".into()))),
        (
            format!("{root}\n{{\"Message\":\"lock\",\"Code\":0,\"Type\":\"error\"}}"),
            Some(Failure::Unreachable("lock".into())),
        ),
    ];
    for (answer, expected) in cases {
        let (script, node) = node(&[(200, &answer)]);
        assert_eq!(block_on(node.put(&blocks)).err(), expected, "{answer}");
        let asked = script.asked.borrow();
        assert_eq!(
            asked[0].url,
            "http://node.test:5001/api/v0/dag/import?pin-roots=false&stats=true&allow-big-block=true"
        );
        assert_eq!(archived(&asked[0]), blocks.each_ref().map(|block| block.cid().clone()));
    }
    let (_, node) = node(&[(200, "<html>")]);
    assert!(matches!(block_on(node.put(&blocks)), Err(Failure::Broken(_))));
}

#[test]
fn what_the_node_cannot_name_is_imported() {
    let block = made(Codec::Raw, HashFunction::Blake3, b"hello");
    let unknown = r#"{"Message":"Failed to put block: No hasher found for \"blake3\"","Code":0}"#;
    for answer in
        [(500, unknown), (500, r#"{"Message":"unrecognized multihash function: blake3"}"#), (404, "404 page not found")]
    {
        let (script, node) = node(&[answer, (200, "")]);
        block_on(node.put(std::slice::from_ref(&block))).unwrap();
        assert_eq!(archived(&script.asked.borrow()[1]), [block.cid().clone()]);
    }
    let big = r#"{"Message":"produced block is over 1MiB: big blocks can't be exchanged with other peers."}"#;
    for answer in [(413, "too large"), (500, big)] {
        let (_, node) = node(&[answer]);
        assert!(matches!(block_on(node.put(std::slice::from_ref(&block))), Err(Failure::Refused(_))));
    }
}

#[test]
fn nothing_is_sent_for_nothing() {
    let digest = ipfs_kit_storage::hash::Digest::wrap(0, b"inline").unwrap();
    let inline = Block::inline(block::new_cid(Version::V1, Codec::Raw, digest)).unwrap();
    let (script, node) = node(&[]);
    block_on(node.put(&[])).unwrap();
    block_on(node.put(&[inline.clone(), inline.clone()])).unwrap();
    assert!(script.asked.borrow().is_empty());
    let one = raw(b"hello");
    script.answers.borrow_mut().push_back((200, named(one.cid())));
    block_on(node.put(&[inline, one])).unwrap();
}

#[test]
fn a_pin_is_there_if_it_is_listed() {
    let (cid, other) = (raw(b"hello").cid().clone(), raw(b"other").cid().clone());
    let listed = |cid: &Cid| format!(r#"{{"Keys":{{"{cid}":{{"Type":"recursive"}}}}}}"#);
    let cases = [
        (200, listed(&cid), Some(true)),
        (200, listed(&other), Some(false)),
        (200, r#"{"Keys":{}}"#.into(), Some(false)),
        (200, "{}".into(), Some(false)),
        (500, r#"{"Message":"path 'x' is not pinned"}"#.into(), Some(false)),
        (500, r#"{"Message":"lock is held"}"#.into(), None),
        (200, "yes".into(), None),
    ];
    for (status, answer, expected) in cases {
        let (_, node) = node(&[(status, &answer)]);
        assert_eq!(block_on(node.is_pinned(&cid)).ok(), expected, "{answer}");
    }
    let (_, node) =
        node(&[(500, r#"{"Message":"not pinned or pinned indirectly"}"#), (500, r#"{"Message":"lock is held"}"#)]);
    assert_eq!(block_on(node.unpin(&cid)), Ok(()));
    assert!(block_on(node.unpin(&cid)).is_err());
}
