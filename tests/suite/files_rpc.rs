//! The mutable tree beside that of js-ipfs, by its RPC: the same commands give the same names and bytes, and are refused or
//! not. Where js-ipfs is not as Kubo's documentation has it (`docs/files.md`), it is not asked; nor for CIDs, for it makes
//! leaves of another type.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    rc::Rc,
};

use futures_executor::block_on;
use ipfs_kit_storage::{
    OpenOptions, Storage,
    hash::CpuHasher,
    platform::native::SystemClock,
    storage::{CopyFrom, Files, ReadOptions, WriteOptions},
    tier::{MemoryTier, conformance::noise},
    unixfs::{Metadata, Profile},
};
use serde_json::Value;

/// A js-ipfs node in a process of its own, which ends with this.
struct Rpc {
    url: String,
    input: Option<ChildStdin>,
    process: Child,
}

impl Rpc {
    fn start() -> Rpc {
        let main = format!("{}/tests/counterparts/main.mjs", env!("CARGO_MANIFEST_DIR"));
        let mut node = Command::new("node");
        let mut process = node.args([&main, "rpc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("its packages are installed: ./x setup");
        Rpc { url: said["url"].as_str().unwrap().into(), input: process.stdin.take(), process }
    }

    /// What it answers; none if it refuses.
    fn call(&self, verb: &str, arguments: &[(&str, &str)], body: Option<&[u8]>) -> Option<Vec<u8>> {
        let query: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let url = format!("{}/api/v0/files/{verb}?{}", self.url, query.join("&"));
        let answer = match body {
            None => ureq::post(&url).send_empty(),
            Some(bytes) => {
                let head = b"--cut\r\ncontent-disposition: form-data; name=\"data\"; filename=\"data\"\r\n\
                    content-type: application/octet-stream\r\n\r\n";
                let whole = [&head[..], bytes, b"\r\n--cut--\r\n"].concat();
                ureq::post(&url).header("content-type", "multipart/form-data; boundary=cut").send(&whole)
            }
        };
        answer.ok().map(|mut answer| answer.body_mut().read_to_vec().unwrap())
    }

    fn json(&self, verb: &str, arguments: &[(&str, &str)]) -> Option<Value> {
        self.call(verb, arguments, None).map(|said| serde_json::from_slice(&said).unwrap())
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// A command of both.
#[derive(Debug)]
enum Step {
    Write { path: &'static str, data: Vec<u8>, offset: u64, create: bool, parents: bool, truncate: bool },
    Mkdir { path: &'static str, parents: bool },
    Cp { from: &'static str, to: &'static str },
    Mv { from: &'static str, to: &'static str },
    Rm { path: &'static str, recursive: bool },
    Chmod { path: &'static str, mode: &'static str },
}

impl Step {
    async fn here(&self, files: &Files) -> bool {
        let done = match self {
            Step::Write { path, data, offset, create, parents, truncate } => {
                let options = WriteOptions {
                    offset: *offset,
                    create: *create,
                    parents: *parents,
                    truncate: *truncate,
                    ..WriteOptions::default()
                };
                files.write(path, data.clone(), options).await
            }
            Step::Mkdir { path, parents } => files.mkdir(path, *parents, Metadata::default()).await,
            Step::Cp { from, to } => files.cp(&CopyFrom::Tree((*from).into()), to, false).await,
            Step::Mv { from, to } => files.mv(from, to).await,
            Step::Rm { path, recursive } => files.rm(path, *recursive, false).await,
            Step::Chmod { path, mode } => files.chmod(path, u32::from_str_radix(mode, 8).unwrap()).await,
        };
        done.is_ok()
    }

    fn there(&self, rpc: &Rpc) -> bool {
        let flag = |flag: &bool| if *flag { "true" } else { "false" };
        let done = match self {
            Step::Write { path, data, offset, create, parents, truncate } => rpc.call(
                "write",
                &[
                    ("arg", path),
                    ("offset", &offset.to_string()),
                    ("create", flag(create)),
                    ("parents", flag(parents)),
                    ("truncate", flag(truncate)),
                ],
                Some(data),
            ),
            Step::Mkdir { path, parents } => rpc.call("mkdir", &[("arg", path), ("parents", flag(parents))], None),
            Step::Cp { from, to } => rpc.call("cp", &[("arg", from), ("arg", to)], None),
            Step::Mv { from, to } => rpc.call("mv", &[("arg", from), ("arg", to)], None),
            Step::Rm { path, recursive } => rpc.call("rm", &[("arg", path), ("recursive", flag(recursive))], None),
            Step::Chmod { path, mode } => rpc.call("chmod", &[("arg", path), ("mode", mode)], None),
        };
        done.is_some()
    }
}

fn write(path: &'static str, data: impl Into<Vec<u8>>) -> Step {
    Step::Write { path, data: data.into(), offset: 0, create: true, parents: false, truncate: false }
}

fn steps() -> Vec<Step> {
    let over = |path, data: &[u8], offset| Step::Write {
        path,
        data: data.to_vec(),
        offset,
        create: false,
        parents: false,
        truncate: false,
    };
    vec![
        over("/none", b"x", 0),
        write("/a", "hello world"),
        over("/a", b"W", 6),
        over("/a", b"!", 11),
        over("/a", b"far", 20),
        write("/no/parent", "x"),
        Step::Write { path: "/p/q/r", data: b"deep".to_vec(), offset: 0, create: true, parents: true, truncate: false },
        Step::Write { path: "/p/q/r", data: b"x".to_vec(), offset: 0, create: true, parents: false, truncate: true },
        Step::Mkdir { path: "/d", parents: false },
        Step::Mkdir { path: "/d", parents: false },
        Step::Mkdir { path: "/d", parents: true },
        Step::Mkdir { path: "/e/f", parents: false },
        Step::Mkdir { path: "/e/f", parents: true },
        Step::Cp { from: "/a", to: "/d/copy" },
        Step::Cp { from: "/a", to: "/d/copy" },
        Step::Cp { from: "/nothing", to: "/d/other" },
        Step::Cp { from: "/p", to: "/e/p" },
        Step::Mv { from: "/a", to: "/moved" },
        Step::Mv { from: "/a", to: "/again" },
        Step::Mv { from: "/moved", to: "/e" },
        Step::Mv { from: "/e/p/q", to: "/e/q" },
        Step::Rm { path: "/e", recursive: false },
        Step::Rm { path: "/gone", recursive: false },
        Step::Rm { path: "/p", recursive: true },
        write("/large", noise(1, 1_000_000)),
        over("/large", &noise(2, 300_000), 500_000),
        over("/large", &noise(3, 300_000), 900_000),
        Step::Rm { path: "/d/copy", recursive: false },
        Step::Chmod { path: "/e/moved", mode: "0600" },
    ]
}

#[test]
fn js_ipfs_has_the_same_tree() {
    let rpc = Rpc::start();
    block_on(async {
        let options = OpenOptions { layout: Profile::UnixfsV0_2015.into(), ..OpenOptions::default() };
        let tier = Rc::new(MemoryTier::new());
        let storage = Storage::new(tier, Rc::new(CpuHasher), Rc::new(SystemClock), options).unwrap();
        let files = storage.files();
        for (number, step) in steps().iter().enumerate() {
            let told = match step {
                Step::Write { path, .. } => format!("{number}, write {path}"),
                step => format!("{number}, {step:?}"),
            };
            assert_eq!(step.here(&files).await, step.there(&rpc), "step {told}");
            compare(&files, &rpc, "/", &told).await;
        }
    });
}

/// All that is below a path of the one is below that of the other.
async fn compare(files: &Files, rpc: &Rpc, path: &str, step: &str) {
    let (here, there) = (files.stat(path).await.unwrap(), rpc.json("stat", &[("arg", path)]).unwrap());
    assert_eq!(there["Type"], here.kind.name(), "{path} after step {step}");
    if here.kind.name() == "file" {
        let mut reader = files.reader(path, ReadOptions::default()).await.unwrap();
        let mut whole = Vec::new();
        while let Some(bytes) = reader.next().await.unwrap() {
            whole.extend_from_slice(&bytes);
        }
        assert!(whole == rpc.call("read", &[("arg", path)], None).unwrap(), "{path} after step {step}");
        assert_eq!(there["Size"], here.size, "{path} after step {step}");
        return;
    }
    let listed = rpc.json("ls", &[("arg", path), ("long", "true")]).unwrap();
    let mut names: Vec<String> = listed["Entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["Name"].as_str().unwrap().into())
        .collect();
    names.sort();
    let mut found: Vec<String> =
        files.ls(path, None, 100).await.unwrap().files.into_iter().filter_map(|info| info.filename).collect();
    found.sort();
    assert_eq!(found, names, "{path} after step {step}");
    for name in names {
        Box::pin(compare(files, rpc, &format!("{}/{name}", path.trim_end_matches('/')), step)).await;
    }
}
