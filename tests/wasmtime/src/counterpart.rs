//! The counterparts of `tests/counterparts`: servers by other hands, each in a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

/// A server on this machine. It ends when this is dropped.
pub struct Counterpart {
    /// Where it is.
    pub url: String,
    /// It ends when this closes.
    input: Option<ChildStdin>,
    process: Child,
}

impl Counterpart {
    /// A trustless gateway.
    pub fn gateway() -> Self {
        Counterpart::start(&["gateway"])
    }

    /// An RPC server of Kubo's shape.
    pub fn rpc() -> Self {
        Counterpart::start(&["rpc"])
    }

    /// A server of S3, which all tests of a program share; each keeps to keys of its own.
    pub fn s3() -> &'static Self {
        static SHARED: OnceLock<Counterpart> = OnceLock::new();
        SHARED.get_or_init(Counterpart::own_s3)
    }

    /// One of its own, for a test that kills it.
    pub fn own_s3() -> Self {
        Counterpart::start(&["s3"])
    }

    /// An archive service: uploads, pin requests, and a gateway.
    pub fn archive() -> Self {
        Counterpart::start(&["archive"])
    }

    /// The REST API of a cluster, with a gateway to its peers.
    pub fn cluster() -> Self {
        Counterpart::start(&["cluster"])
    }

    /// A proxy to another server, which fails as it is told.
    pub fn faults(target: &str) -> Self {
        Counterpart::start(&["faults", target])
    }

    fn start(arguments: &[&str]) -> Self {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let main = above.map(|folder| folder.join("tests/counterparts/main.mjs")).find(|main| main.exists());
        let main = main.expect("it lies in the repository");
        let mut node = Command::new("node");
        node.arg(main).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = node.spawn().expect("Node.js is installed");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("its packages are installed: ./x setup");
        let url = said["url"].as_str().expect("it names its URL").to_owned();
        Counterpart { url, input: process.stdin.take(), process }
    }

    /// A delegated router.
    pub fn routing() -> Self {
        Counterpart::start(&["routing"])
    }

    /// Stores a file of so many pseudorandom bytes there; its CID.
    pub fn random(&self, bytes: usize, seed: u32, chunk: usize) -> String {
        let said = self.post(&format!("/-/random?size={bytes}&seed={seed}&chunk={chunk}"), &[]);
        said["cid"].as_str().expect("it names the CID").to_owned()
    }

    /// Stores a directory of pseudorandom files there, by path, size and seed; its CID.
    pub fn tree(&self, files: &[(&str, usize, u32)]) -> String {
        let file = |(path, size, seed): &(&str, usize, u32)| json!({ "path": path, "size": size, "seed": seed });
        let files: Vec<Value> = files.iter().map(file).collect();
        let said = self.post("/-/tree", json!(files).to_string().as_bytes());
        said["cid"].as_str().expect("it names the CID").to_owned()
    }

    /// Sets what it does wrong.
    pub fn fault(&self, fault: Value) {
        self.put("/-/fault", fault);
    }

    /// Tells it something.
    pub fn put(&self, path: &str, told: Value) {
        let done = ureq::put(format!("{}{path}", self.url)).send(told.to_string().as_bytes());
        done.expect("it knows that");
    }

    /// The URLs that it was asked for.
    pub fn requests(&self) -> Vec<String> {
        let said: Value = serde_json::from_slice(&self.get("/-/requests")).expect("it answers in JSON");
        let requests = said["requests"].as_array().expect("it lists them");
        requests.iter().map(|request| request["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What it answers to a GET.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let mut response = ureq::get(format!("{}{path}", self.url)).call().expect("it answers");
        response.body_mut().with_config().limit(u64::MAX).read_to_vec().expect("it answers wholly")
    }

    /// The bytes it answers to a POST without a body.
    pub fn fetch(&self, path: &str) -> Vec<u8> {
        let mut response = ureq::post(format!("{}{path}", self.url)).send_empty().expect("it answers");
        response.body_mut().with_config().limit(u64::MAX).read_to_vec().expect("it answers wholly")
    }

    /// What it answers to a POST, in JSON.
    pub fn post(&self, path: &str, body: &[u8]) -> Value {
        let response = ureq::post(format!("{}{path}", self.url)).send(body);
        response
            .expect("it answers")
            .body_mut()
            .read_to_string()
            .map(|said| serde_json::from_str(&said).unwrap_or(Value::Null))
            .expect("it answers wholly")
    }
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}
