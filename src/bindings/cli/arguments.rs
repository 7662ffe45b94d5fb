//! What the command line asks for.

use std::{collections::BTreeMap, mem};

use lexopt::prelude::*;

use super::{car::Car, files::FilesCommand, names::NameCommand, outbox::OutboxCommand, subcommands};
use crate::{
    bindings::wasi::Place,
    block::Codec,
    hash::HashFunction,
    storage::{
        CarExportOptions, CarRange, CarScope, CarVersion, FolderOptions, OpenOptions, PinOptions, ReadBack,
        ReadOptions, ReplicationPolicy, StoreOptions, ValueOptions, VerifyOptions,
    },
    tier::{Durability, PinKind},
    unixfs::{Layout, Profile},
};

const HELP: &str = "\
Local-first, content-addressed storage.

Usage: ipfs-kit-storage [--store DIR] [--json] COMMAND

Commands:
  add FILE...          store files and print their CIDs; `-` is standard input. Or: store FILE...
      -r, --recursive    also folders, with all that is in them
      -H, --hidden       and with what has a name that begins with a point
      --preserve-mtime   keep when files and folders were last changed; the CIDs differ then
      --profile NAME     how a file becomes blocks, and so which CID it gets:
                         unixfs-v1-2025 (default) or unixfs-v0-2015
      --pin              pin what is stored
      --name NAME        list it under this name (one FILE only; default: the file's own)
  cat PATH             write a file to standard output; PATH is a CID, or a path
                       below one: CID/a/b.txt. Or: retrieve PATH
      -o, --output FILE  write it there instead
      --offset N         from byte N
      --length N         at most N bytes
      --offline          only if it is held here
      --pin              pin it, once it has been read as a whole
  dag put [FILE]       store a value of linked data and print its CID; default: standard input
      --input-codec NAME the codec it is given in: dag-json (default) or dag-cbor
      --store-codec NAME the codec of the stored block: dag-cbor (default) or dag-json
      --hash NAME        the hash of its CID: sha2-256 (default), sha2-512 or blake3
      --pin              pin it, and all that it links to; what of that is not held is fetched
      --name NAME        list it under this name
      --offline          not with a network
  dag get PATH         print what a path leads to, through values, directories and links
      --output-codec NAME  dag-json (default) or dag-cbor
      --offline          only if it is held here
  name set NAME CID    have a name lead to a CID; what that reaches is kept
      --expect CID       only if it leads there now
      --absent           only if there is no such name
  name get NAME        print the CID
  name ls [PREFIX]     list names
  name rm NAME         forget a name
      --expect CID       only if it leads there now
  files ls [PATH]      list a directory of the mutable tree, which keeps all that is in it
  files read PATH      write a file of it to standard output
      -o, --output FILE  write it there instead
      --offset N         from byte N
      --length N         at most N bytes
  files write PATH [FILE]  write to a file of it; default: what standard input gives
      --offset N         from byte N on; behind the end, zeros fill the gap
      --append           behind the last byte
      --create           make the file if there is none
  -p, --parents          make the directories above it if there are none; also of mkdir and cp
      --truncate         write over nothing of what it had
      --mode MODE        its permissions, octal; also of mkdir
  files truncate PATH LENGTH  make a file shorter, or longer by zeros
  files mkdir PATH     make a directory
  files cp FROM TO     link what is in the tree, or CID, CID/a/b, /ipfs/CID, under another path; nothing is copied
  files mv FROM TO     move, or rename
  files rm PATH...     remove files
  -r, --recursive        directories, too
      --force            directories, too, and what is not there is no error
  files stat [PATH]    what is at a path
  files touch PATH     set when it was changed last, to now
      --mtime SECONDS    to this, since the Unix epoch
  files chmod MODE PATH  set its permissions, octal
  files flush [PATH]   make sure that a power cut loses nothing, and print the CID
  files history        print the last roots of the tree, the one in use first
  push CID REMOTE      give it, and all below it, to one of the remotes
      --pin              have it pinned there
  get PATH             write a file or a whole directory to the host's file system
      -o, --output NAME  under this name (default: its own); nothing that is there is replaced
      --offline          only if it is held here
  ls [PATH]            list what is stored, or what is in a directory
      --offline          only if it is held here
  stat PATH            what is known of something
      --offline          only if it is held here
  exists CID           print true or false
  rm CID...            forget files, and drop the blocks that only they used
      --force            also pinned ones
  pin CID...           protect files, or whole DAGs, against rm and eviction; what is not held is fetched,
                       and goes on from where it was when that broke off
      --name NAME        a name to find the pin by
      --label KEY=VALUE  what else is to be noted; may be given several times
      --expires TIME     the pin ends by itself after so many s, m, h or d: 90s, 12h, 30d
      --direct           only the one block, and not what it links to
      --offline          only if it is held here
  pin ls               list the pins
  unpin CID...         take pins away
  sync                 send what is queued for the backends, read copies back, remove those released
      --wait TIME        and wait for what is due within 90s, 15m, 12h
  outbox               list what is still to be done for them, and what went wrong
  replicate CID...     queue what is stored for backends
      --to NAME          for this one; may be given several times, also with add (default: as the policy says)
      --copies N         so many proven copies are enough
      --read-back HOW    all, or the number of ways from root to leaf that are read back
  replicas CID         tell which copies were proven, and when
  release CID...       have copies removed
      --from NAME        at this backend only
  audit [CID...]       queue copies, or all of them, to be read back again
  status               the state of the store and of each backend
  gc                   drop what no stored file and no pin needs, and give the room back
      --dry-run          only tell what would go
  verify               hash every block, walk all that is stored or pinned, and set
                       aside what is corrupt; fails when something is wrong
      --sample PERCENT   hash so many percent of the blocks only
      --seed N           which of them; the report tells it
      --repair           fetch what is corrupt or missing from the remotes
      --offline          not with a network
  car import FILE      store what an archive (CAR, version 1 or 2) has, each block proven; `-` is standard input
      --pin              pin its roots
      --resume           have it go on where it was, should it break off: give the same again
  car export PATH...   write an archive of a DAG to standard output
      -o, --output FILE  write it there instead
      --version N        1 (default), or 2, with an index
      --scope SCOPE      all (default); entity: a file, or what lists a directory; block: the one block
      --range FROM:TO    of a file these bytes only, both included; `*` is its end, negative ones count from there
      --offline          only if it is held here
  car forget FILE      give up an import with --resume, and what came of it
  import-legacy DIR    store the files of an old cache, named bafy... by no CID, with
                       their names and pins; print old key, CID and name of each

Options:
  --store DIR          the folder of the store (default: $IPFS_KIT_CACHE_DIR)
  --take-over          open it although another owner was seen in the last 10 s: that one is
                       known to be gone, or will not write any more
  --remote ADDRESS     who may have what is not held here; may be given several times, or with spaces
                       between them in $IPFS_KIT_REMOTES: https://... is a trustless gateway,
                       kubo+http://... a Kubo RPC, routing+https://... a delegated router
  --backends FILE      who keeps copies, and the policy, as JSON; without it $IPFS_KIT_BACKENDS has the JSON
  --json               print one JSON object a line; errors too, on standard error
  --durability LEVEL   strict (default: survives a power cut) or relaxed (survives a kill)
  --limit SIZE         hold no more than so many bytes of blocks (500M, 20G): what is written makes room for itself
                       among the files that are not pinned, and fails where that is not enough
  -h, --help           print this
  -V, --version        print the version

Exit codes: 0 done; 1 failed or refused, standard error says why. (Every WASI 0.2 host passes these on.)

The folder must be one that the host has opened, for instance:
  wasmtime run --dir STORE::/store --dir .::/in ipfs-kit-storage.cli.wasm --store /store store /in/FILE
With remotes, which ipfs-kit-storage.cli.wasm cannot reach:
  wasmtime run -S http --dir STORE::/store ipfs-kit-storage.cli-http.wasm --store /store --remote https://... pin CID
";

/// What to do.
pub enum Asked {
    /// Print a text: the help, the version.
    Text(String),
    /// Run a command.
    Run(Box<Invocation>),
}

/// A command and what holds for all of them.
pub struct Invocation {
    pub json: bool,
    pub store: Store,
    pub command: Command,
}

/// Which store, and how to open it.
pub struct Store {
    pub place: Place,
    pub options: OpenOptions,
    /// Bytes of blocks that it may hold.
    pub limit: Option<u64>,
    /// The file that configures backends.
    pub backends: Option<String>,
}

pub enum Command {
    Store {
        files: Vec<String>,
        recursive: bool,
        options: FolderOptions,
    },
    Get {
        path: String,
        output: Option<String>,
        offline: bool,
    },
    Retrieve {
        path: String,
        output: Option<String>,
        options: ReadOptions,
    },
    PutValue {
        file: String,
        input: Codec,
        options: ValueOptions,
    },
    GetValue {
        path: String,
        codec: Codec,
        offline: bool,
    },
    Name(NameCommand),
    Files(FilesCommand),
    Outbox(OutboxCommand),
    Push {
        cid: String,
        remote: String,
        pin: bool,
    },
    List {
        path: String,
        offline: bool,
    },
    Stat {
        path: String,
        offline: bool,
    },
    Exists {
        cid: String,
    },
    Remove {
        cids: Vec<String>,
        force: bool,
    },
    /// For so many milliseconds, or for ever.
    Pin {
        cids: Vec<String>,
        options: PinOptions,
        lasting: Option<u64>,
    },
    ListPins,
    Unpin {
        cids: Vec<String>,
    },
    Status,
    Collect {
        dry_run: bool,
    },
    Verify(VerifyOptions),
    Car(Car),
    ImportLegacy {
        directory: String,
    },
}

/// Every option, as far as it was given.
#[derive(Default)]
pub struct Given {
    pub place: Place,
    pub offline: bool,
    pub json: bool,
    pub profile: Option<Profile>,
    pub durability: Durability,
    pub limit: Option<u64>,
    pub backends: Option<String>,
    pub to: Vec<String>,
    pub copies: Option<u32>,
    pub read_back: Option<ReadBack>,
    pub from: Option<String>,
    pub wait: u64,
    pub pin: bool,
    pub name: Option<String>,
    pub output: Option<String>,
    pub offset: u64,
    pub length: Option<u64>,
    pub force: bool,
    pub kind: PinKind,
    pub labels: BTreeMap<String, String>,
    pub lasting: Option<u64>,
    pub dry_run: bool,
    pub sample: Option<f64>,
    pub seed: Option<u32>,
    pub repair: bool,
    pub input_codec: Option<Codec>,
    pub store_codec: Option<Codec>,
    pub output_codec: Option<Codec>,
    pub hash: HashFunction,
    pub expect: Option<String>,
    pub absent: bool,
    pub append: bool,
    pub create: bool,
    pub parents: bool,
    pub truncate: bool,
    pub recursive: bool,
    pub mode: Option<u32>,
    pub mtime: Option<i64>,
    pub hidden: bool,
    pub keep_mtime: bool,
    pub resume: bool,
    pub version: CarVersion,
    pub scope: CarScope,
    pub range: Option<CarRange>,
    pub values: Vec<String>,
}

/// Reads the arguments, without the program's name.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut given = Given::default();
    let mut verb: Option<String> = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Asked::Text(HELP.into())),
            Long("version") if verb.as_deref() == Some("car") => {
                given.version = match parser.value()?.string()?.as_str() {
                    "1" => CarVersion::V1,
                    "2" => CarVersion::V2,
                    other => return Err(format!("no version {other:?} of archives; there are 1 and 2").into()),
                }
            }
            Short('V') | Long("version") => {
                return Ok(Asked::Text(format!("ipfs-kit-storage {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Long("store") => given.place.directory = Some(parser.value()?.string()?),
            Long("remote") => given.place.remotes.push(parser.value()?.string()?),
            Long("take-over") => given.place.take_over = true,
            Long("offline") => given.offline = true,
            Long("json") => given.json = true,
            Long("durability") => {
                given.durability = match parser.value()?.string()?.as_str() {
                    "strict" => Durability::Strict,
                    "relaxed" => Durability::Relaxed,
                    other => return Err(format!("no durability {other:?}; there are strict and relaxed").into()),
                }
            }
            Long("backends") => given.backends = Some(parser.value()?.string()?),
            Long("to") => given.to.push(parser.value()?.string()?),
            Long("copies") => given.copies = Some(parser.value()?.parse()?),
            Long("read-back") => given.read_back = Some(read_back(&parser.value()?.string()?)?),
            Long("from") => given.from = Some(parser.value()?.string()?),
            Long("wait") => given.wait = duration(&parser.value()?.string()?)?,
            Long("limit") => given.limit = Some(bytes(&parser.value()?.string()?)?),
            Long("profile") => {
                let name = parser.value()?.string()?;
                given.profile = Some(Profile::from_name(&name).map_err(|error| error.to_string())?);
            }
            Long("pin") => given.pin = true,
            Short('r') | Long("recursive") => given.recursive = true,
            Short('H') | Long("hidden") => given.hidden = true,
            Long("preserve-mtime") => given.keep_mtime = true,
            Long("name") => given.name = Some(parser.value()?.string()?),
            Short('o') | Long("output") => given.output = Some(parser.value()?.string()?),
            Long("offset") => given.offset = parser.value()?.parse()?,
            Long("length") => given.length = Some(parser.value()?.parse()?),
            Long("force") => given.force = true,
            Long("direct") => given.kind = PinKind::Direct,
            Long("label") => {
                let (name, value) = label(&parser.value()?.string()?)?;
                if given.labels.insert(name.clone(), value).is_some() {
                    return Err(format!("the label {name:?} is there twice").into());
                }
            }
            Long("expires") => given.lasting = Some(duration(&parser.value()?.string()?)?),
            Long("dry-run") => given.dry_run = true,
            Long("sample") => given.sample = Some(parser.value()?.parse::<f64>()? / 100.0),
            Long("seed") => given.seed = Some(parser.value()?.parse()?),
            Long("repair") => given.repair = true,
            Long("expect") => given.expect = Some(parser.value()?.string()?),
            Long("absent") => given.absent = true,
            Long("append") => given.append = true,
            Long("create") => given.create = true,
            Short('p') | Long("parents") => given.parents = true,
            Long("truncate") => given.truncate = true,
            Long("mode") => given.mode = Some(subcommands::mode(&parser.value()?.string()?)?),
            Long("mtime") => given.mtime = Some(parser.value()?.parse()?),
            Long("input-codec") => given.input_codec = Some(codec(&parser.value()?.string()?)?),
            Long("store-codec") => given.store_codec = Some(codec(&parser.value()?.string()?)?),
            Long("output-codec") => given.output_codec = Some(codec(&parser.value()?.string()?)?),
            Long("hash") => {
                let name = parser.value()?.string()?;
                let known = HashFunction::ALL.into_iter().find(|hash| hash.to_string() == name);
                given.hash =
                    known.ok_or_else(|| format!("no hash {name:?}; there are sha2-256, sha2-512 and blake3"))?;
            }
            Long("resume") => given.resume = true,
            Long("scope") => {
                given.scope = match parser.value()?.string()?.as_str() {
                    "all" => CarScope::All,
                    "entity" => CarScope::Entity,
                    "block" => CarScope::Block,
                    other => return Err(format!("no scope {other:?}; there are all, entity and block").into()),
                }
            }
            Long("range") => given.range = Some(range(&parser.value()?.string()?)?),
            Value(value) if verb.is_none() => verb = Some(value.string()?),
            Value(value) => given.values.push(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let Some(verb) = verb else { return Err("no command given".into()) };
    let options = OpenOptions {
        layout: given.profile.map_or_else(Layout::default, Layout::from),
        durability: given.durability,
        ..OpenOptions::default()
    };
    let store =
        Store { place: mem::take(&mut given.place), options, limit: given.limit, backends: given.backends.take() };
    let json = given.json;
    Ok(Asked::Run(Box::new(Invocation { json, store, command: command(&verb, given)? })))
}

fn command(verb: &str, mut given: Given) -> Result<Command, lexopt::Error> {
    let several = |values: Vec<String>, what: &str| match values.as_slice() {
        [] => Err(lexopt::Error::from(format!("{verb} needs a {what}"))),
        _ => Ok(values),
    };
    let one = |values: Vec<String>| match <[String; 1]>::try_from(values) {
        Ok([cid]) => Ok(cid),
        Err(values) => Err(lexopt::Error::from(format!("{verb} takes one CID or path, not {}", values.len()))),
    };
    let none = |values: Vec<String>| match values.first() {
        None => Ok(()),
        Some(value) => Err(lexopt::Error::from(format!("{verb} takes no argument {value:?}"))),
    };
    Ok(match verb {
        "add" | "store" => {
            let replicate = replication(&mut given);
            let files = several(given.values, "FILE")?;
            if given.name.is_some() && files.len() > 1 {
                return Err("--name goes with one FILE only".into());
            }
            let Given { pin, name: filename, hidden, keep_mtime: mtime, recursive, .. } = given;
            let store = StoreOptions { filename, pin, replicate, ..StoreOptions::default() };
            let options = FolderOptions { store, hidden, mtime };
            Command::Store { files, recursive, options }
        }
        "get" => Command::Get { path: one(given.values)?, output: given.output, offline: given.offline },
        "cat" | "retrieve" => Command::Retrieve {
            path: one(given.values)?,
            output: given.output,
            options: ReadOptions {
                offline: given.offline,
                pin: given.pin,
                ..ReadOptions::range(given.offset, given.length)
            },
        },
        "dag" => value(given)?,
        "name" => Command::Name(subcommands::name(given)?),
        "files" => Command::Files(subcommands::files(given)?),
        "push" => match <[String; 2]>::try_from(given.values) {
            Ok([cid, remote]) => Command::Push { cid, remote, pin: given.pin },
            Err(_) => return Err("push takes a CID and a remote".into()),
        },
        "ls" => match given.values.is_empty() {
            true => Command::List { path: "/".into(), offline: given.offline },
            false => Command::List { path: one(given.values)?, offline: given.offline },
        },
        "stat" => Command::Stat { path: one(given.values)?, offline: given.offline },
        "exists" => Command::Exists { cid: one(given.values)? },
        "rm" => Command::Remove { cids: several(given.values, "CID")?, force: given.force },
        "pin" => match given.values.split_first() {
            Some((first, rest)) if first == "ls" => none(rest.to_vec()).map(|()| Command::ListPins)?,
            _ => {
                let Given { kind, name, labels, offline, lasting, .. } = given;
                let options = PinOptions { kind, name, labels, offline, ..PinOptions::default() };
                Command::Pin { cids: several(given.values, "CID")?, options, lasting }
            }
        },
        "unpin" => Command::Unpin { cids: several(given.values, "CID")? },
        "sync" => {
            none(given.values)?;
            Command::Outbox(OutboxCommand::Sync { patience: given.wait })
        }
        "outbox" => none(given.values).map(|()| Command::Outbox(OutboxCommand::List))?,
        "replicate" => {
            let policy = replication(&mut given);
            Command::Outbox(OutboxCommand::Replicate { cids: several(given.values, "CID")?, policy })
        }
        "replicas" => Command::Outbox(OutboxCommand::Replicas { cid: one(given.values)? }),
        "release" => {
            let cids = several(given.values, "CID")?;
            Command::Outbox(OutboxCommand::Release { cids, backend: given.from })
        }
        "audit" => Command::Outbox(OutboxCommand::Audit { cids: given.values }),
        "status" => none(given.values).map(|()| Command::Status)?,
        "gc" => none(given.values).map(|()| Command::Collect { dry_run: given.dry_run })?,
        "verify" => {
            let Given { sample, seed, repair, offline, .. } = given;
            none(given.values).map(|()| Command::Verify(VerifyOptions { sample, seed, repair, offline }))?
        }
        "car" => Command::Car(car(given)?),
        "import-legacy" => match <[String; 1]>::try_from(given.values) {
            Ok([directory]) => Command::ImportLegacy { directory },
            Err(_) => return Err("import-legacy takes one DIR".into()),
        },
        other => return Err(format!("no command {other:?}").into()),
    })
}

/// Where copies are to be, as far as it was said.
fn replication(given: &mut Given) -> ReplicationPolicy {
    let to = mem::take(&mut given.to);
    let backends = (!to.is_empty()).then_some(to);
    ReplicationPolicy { backends, copies: given.copies, read_back: given.read_back, ..ReplicationPolicy::default() }
}

fn read_back(text: &str) -> Result<ReadBack, lexopt::Error> {
    match text {
        "all" => Ok(ReadBack::All),
        ways => ways.parse().map(ReadBack::Sample).map_err(|_| format!("{ways:?} is neither all nor a number").into()),
    }
}

/// What is to be done with a value of linked data.
fn value(given: Given) -> Result<Command, lexopt::Error> {
    let Given { offline, pin, name: filename, hash, .. } = given;
    let mut words = given.values.into_iter();
    let (verb, argument) = (words.next(), words.next());
    match (verb.as_deref(), argument, words.next()) {
        (Some("put"), file, None) => {
            let codec = given.store_codec.unwrap_or(Codec::DagCbor);
            Ok(Command::PutValue {
                file: file.unwrap_or_else(|| "-".into()),
                input: given.input_codec.unwrap_or(Codec::DagJson),
                options: ValueOptions { codec, hash, filename, pin, offline },
            })
        }
        (Some("get"), Some(path), None) => {
            let codec = given.output_codec.unwrap_or(Codec::DagJson);
            Ok(Command::GetValue { path, codec, offline })
        }
        _ => Err("dag takes put [FILE], or get PATH".into()),
    }
}

fn codec(name: &str) -> Result<Codec, lexopt::Error> {
    match name {
        "dag-cbor" => Ok(Codec::DagCbor),
        "dag-json" => Ok(Codec::DagJson),
        other => Err(format!("no codec {other:?}; there are dag-cbor and dag-json").into()),
    }
}

fn car(given: Given) -> Result<Car, lexopt::Error> {
    let Given { pin, resume, output, version, scope, range, offline, values, .. } = given;
    let mut values = values.into_iter();
    let (verb, mut rest) = (values.next().unwrap_or_default(), values.collect::<Vec<String>>());
    match (verb.as_str(), rest.len()) {
        ("import", 1) => Ok(Car::Import { file: rest.remove(0), pin, resume }),
        ("forget", 1) => Ok(Car::Forget { file: rest.remove(0) }),
        ("export", 1..) => {
            Ok(Car::Export { paths: rest, output, options: CarExportOptions { version, scope, range, offline } })
        }
        _ => Err("car takes: import FILE, export PATH..., or forget FILE".into()),
    }
}

fn range(text: &str) -> Result<CarRange, lexopt::Error> {
    let parse = || {
        let (from, to) = text.split_once(':')?;
        let to = if to == "*" { None } else { Some(to.parse().ok()?) };
        Some(CarRange { from: from.parse().ok()?, to })
    };
    parse().ok_or_else(|| format!("{text:?} is no range such as 0:99, 100:* or -10:*").into())
}

fn label(text: &str) -> Result<(String, String), lexopt::Error> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| format!("the label {text:?} is not KEY=VALUE").into())
}

/// A number of bytes, perhaps in KiB, MiB, GiB or TiB.
fn bytes(text: &str) -> Result<u64, lexopt::Error> {
    let parse = || {
        let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let powers = match text.get(number.len()..)? {
            "" => 0,
            "K" | "KiB" => 1,
            "M" | "MiB" => 2,
            "G" | "GiB" => 3,
            "T" | "TiB" => 4,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1 << (10 * powers))
    };
    parse().ok_or_else(|| format!("{text:?} is no number of bytes such as 1000000, 500M or 20G").into())
}

/// In milliseconds.
fn duration(text: &str) -> Result<u64, lexopt::Error> {
    let seconds = |unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(60 * 60),
        'd' => Some(24 * 60 * 60),
        _ => None,
    };
    let parse = || {
        let (at, unit) = text.char_indices().last()?;
        let number: u64 = text.get(..at)?.parse().ok()?;
        number.checked_mul(seconds(unit)? * 1000)
    };
    parse().ok_or_else(|| format!("{text:?} is no time such as 90s, 15m, 12h or 30d").into())
}
