//! Imports into a store until it is killed, and says on standard output what was acknowledged:
//! `opened`, `stored STEP`, and `deleting STEP` before and `deleted STEP` after a deletion. When another owner has taken
//! the store from it, it says `locked` and ends.

use std::{
    collections::BTreeMap,
    env,
    io::{Write, stdout},
    path::Path,
};

use wasmtime_host_tests::{
    Instance, Plugin, in_store, load,
    types::{Durability, Error, FileInfo, OpenOptions, StoreOptions},
    workload::{KEPT_STEPS, Step, Way, parse_name},
};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, compiled, folder, seed, first, durability] = arguments.as_slice() else {
        panic!("usage: kill-victim COMPONENT FOLDER SEED STEP strict|relaxed")
    };
    let component = load(Path::new(compiled)).expect("the component loads");
    let durability = if durability == "strict" { Durability::Strict } else { Durability::Relaxed };
    let options = OpenOptions { durability: Some(durability), ..in_store() };
    let plugin = Instance::of(&component, Path::new(folder), &[]).open(&options).expect("the store opens");
    say("opened");
    match import(plugin, seed.parse().expect("a number"), first.parse().expect("a number")) {
        Err(Error::Locked(_)) => say("locked"),
        other => panic!("it goes on for ever: {other:?}"),
    }
}

fn import(mut plugin: Plugin, seed: u64, first: u64) -> Result<(), Error> {
    let mut held: BTreeMap<u64, Vec<FileInfo>> = BTreeMap::new();
    for file in plugin.list() {
        let (step, _) = parse_name(file.filename.as_deref().expect("every file has a name"));
        held.entry(step).or_default().push(file);
    }
    for number in first.. {
        held.insert(number, store(&mut plugin, &Step::new(seed, number))?);
        say(&format!("stored {number}"));
        while let Some(oldest) = held.first_entry().filter(|oldest| oldest.key() + KEPT_STEPS <= number) {
            let (old, files) = oldest.remove_entry();
            say(&format!("deleting {old}"));
            for file in files {
                if file.pinned {
                    plugin.unpin(&file.cid)?;
                }
                plugin.delete(&file.cid)?;
            }
            say(&format!("deleted {old}"));
        }
        // What a killed one had written ahead goes, and segments are compacted: that is interrupted as well.
        if number.is_multiple_of(4) {
            plugin.collect_all(false)?;
        }
    }
    Ok(())
}

fn store(plugin: &mut Plugin, step: &Step) -> Result<Vec<FileInfo>, Error> {
    let options =
        |part| StoreOptions { filename: Some(step.name(part)), pin: step.pinned(), layout: None, replicate: None };
    match step.way {
        Way::Whole => plugin.store(&step.data(0), &options(0)).map(|file| vec![file]),
        Way::Pieces(size) => plugin.stream(step.data(0).chunks(size), &options(0)).map(|file| vec![file]),
        Way::Many => {
            let files: Vec<_> = (0..step.files()).map(|part| (step.data(part), options(part))).collect();
            plugin.store_many(&files)
        }
    }
}

fn say(what: &str) {
    let mut out = stdout().lock();
    writeln!(out, "{what}").and_then(|()| out.flush()).expect("somebody listens");
}
