//! The command, as a shell runs it, over the components of `dist/`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
};

use tempfile::TempDir;

/// Of `hello world`.
const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

/// What a command writes, if it succeeds, or what it complains of.
fn run(store: &Path, words: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_wasmtime-host")).arg("--store").arg(store).args(words).output();
    let output = output.expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text").trim_end().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn without_remotes_it_stores_lists_and_gives_back() {
    let folder = TempDir::new().unwrap();
    let (store, file) = (folder.path().join("store"), folder.path().join("hello.txt"));
    fs::write(&file, "hello world").unwrap();
    assert_eq!(run(&store, &["put", file.to_str().unwrap()]).unwrap(), HELLO);
    assert!(run(&store, &["ls"]).unwrap().ends_with("11  hello.txt"));
    assert_eq!(run(&store, &["get", HELLO]).unwrap(), "hello world");
    let copy = folder.path().join("copy");
    assert!(run(&store, &["get", HELLO, copy.to_str().unwrap()]).unwrap().starts_with("11 bytes"));
    assert_eq!(fs::read_to_string(&copy).unwrap(), "hello world");
    assert!(run(&store, &["get", HELLO, copy.to_str().unwrap()]).unwrap_err().contains("cannot make"));
    let status = run(&store, &["status"]).unwrap();
    assert!(status.starts_with("1 roots, 1 blocks, 11 bytes\nlocal (pack), available: "), "{status}");
    let absent = run(&folder.path().join("other"), &["get", HELLO]).unwrap_err();
    assert!(absent.contains("not held here"), "{absent}");
}

#[test]
fn a_folder_of_this_host_is_a_remote() {
    let folder = TempDir::new().unwrap();
    let (here, there, blocks) = (folder.path().join("here"), folder.path().join("there"), folder.path().join("blocks"));
    fs::create_dir(&blocks).unwrap();
    let remote = format!("folder:{}", blocks.display());
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path().join("data"), &data).unwrap();
    let cid = run(&here, &["put", folder.path().join("data").to_str().unwrap()]).unwrap();
    assert!(run(&here, &["push", &cid, &remote]).unwrap().starts_with("4 blocks"));
    let copy = folder.path().join("copy");
    run(&there, &["--remote", &remote, "get", &cid, copy.to_str().unwrap()]).unwrap();
    assert!(fs::read(&copy).unwrap() == data);
    // What it gives is proven: one block of the folder is not what it was.
    fs::write(blocks.join(&cid), "something else").unwrap();
    let lied = run(&folder.path().join("third"), &["--remote", &remote, "get", &cid]).unwrap_err();
    assert!(lied.contains("no remote gave"), "{lied}");
    assert!(run(&there, &["--remote", "folder:/nowhere", "ls"]).unwrap_err().contains("is no folder"));
}

#[test]
fn over_http_a_gateway_is_asked() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = format!("http://{}", listener.local_addr().unwrap());
    // As little of a trustless gateway as there can be: one raw block, for whatever is asked.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.ipld.raw\r\ncontent-length: 11\r\nconnection: close";
            let _ = write!(stream, "{head}\r\n\r\nhello world");
        }
    });
    let store = folder.path().join("store");
    assert_eq!(run(&store, &["--remote", &gateway, "get", HELLO]).unwrap(), "hello world");
    // It is here now.
    assert_eq!(run(&store, &["get", HELLO]).unwrap(), "hello world");
}
