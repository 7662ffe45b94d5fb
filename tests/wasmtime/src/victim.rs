//! A process that imports into a store, to be killed; and what the store must have after that.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    Artefact, Plugin,
    workload::{Step, parse_name},
};

/// A running `kill-victim`.
pub struct Victim(Child);

/// What a victim said before it died.
#[derive(Debug, Default)]
pub struct Said {
    /// It had opened the store.
    pub opened: bool,
    /// The steps that were acknowledged to it.
    pub stored: Vec<u64>,
    /// The steps that it began to delete.
    pub deleting: Vec<u64>,
    /// Those of them of which that was acknowledged.
    pub deleted: Vec<u64>,
    /// It was told that the store is locked, and ended by itself.
    pub locked: bool,
}

impl Victim {
    /// Starts one at a step of the workload. `program` is `env!("CARGO_BIN_EXE_kill-victim")`, which only tests know.
    pub fn start(program: &str, folder: &Path, seed: u64, first: u64, durability: &str) -> Victim {
        let child = Command::new(program)
            .args([Artefact::Local.compiled(), folder])
            .args([&seed.to_string(), &first.to_string(), durability])
            .stdout(Stdio::piped())
            .spawn();
        Victim(child.expect("it starts"))
    }

    /// Kills it (SIGKILL) and reads what it said.
    pub fn kill(mut self) -> Said {
        self.0.kill().expect("it can be killed");
        let status = self.0.wait().expect("it ends");
        let mut text = String::new();
        self.0.stdout.take().expect("it was piped").read_to_string(&mut text).expect("it speaks UTF-8");
        let mut said = Said::default();
        // A last line without its end was not said.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let step = || line.rsplit(' ').next().and_then(|step| step.parse().ok()).expect("a step");
            match line.split(' ').next() {
                Some("opened") => said.opened = true,
                Some("stored") => said.stored.push(step()),
                Some("deleting") => said.deleting.push(step()),
                Some("deleted") => said.deleted.push(step()),
                Some("locked") => said.locked = true,
                _ => panic!("{line}"),
            }
        }
        assert!(said.locked || status.code().is_none(), "the victim ended by itself: {status}");
        said
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind who fills the disk.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a store must have and may have, by what was said.
#[derive(Default)]
pub struct Model {
    /// The files of each step that were acknowledged, and whether they are pinned.
    held: BTreeMap<u64, BTreeMap<usize, bool>>,
    /// Steps that were begun, or are being deleted.
    may_be_held: BTreeSet<u64>,
    /// The step to go on with.
    pub next: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Found {
    /// Acknowledged files that were compared.
    pub files: usize,
    /// Bytes that were compared.
    pub bytes: u64,
    /// Files that a deletion had unpinned, and not deleted yet.
    pub half_deleted: usize,
    /// Whether the step that was under way is there; it may be, but then as a whole.
    pub unacknowledged: bool,
    /// Bytes of torn writes that opening cut off.
    pub torn_bytes: u64,
}

impl Model {
    /// Takes note of what a victim said, which followed this seed.
    pub fn learn(&mut self, said: &Said, seed: u64) {
        for number in &said.stored {
            let step = Step::new(seed, *number);
            self.held.insert(*number, (0..step.files()).map(|part| (part, step.pinned())).collect());
        }
        self.next = said.stored.last().map_or(self.next, |last| last + 1);
        // The victim died in the step after the last it acknowledged, or in a deletion.
        self.may_be_held = [self.next].into();
        for step in &said.deleting {
            self.held.remove(step);
            self.may_be_held.insert(*step);
        }
        for step in &said.deleted {
            self.may_be_held.remove(step);
        }
    }

    /// Compares everything that the store has with what it must and may have; what it has is what it must have from then.
    pub fn check(&mut self, plugin: &mut Plugin, seed: u64) -> Found {
        let status = plugin.backend_status().expect("it has a status");
        assert_eq!(status.quarantined, 0);
        let mut found = Found { torn_bytes: status.recovery.truncated_bytes, ..Found::default() };
        let mut listed: BTreeMap<u64, BTreeMap<usize, bool>> = BTreeMap::new();
        for file in plugin.list() {
            let (number, part) = parse_name(file.filename.as_deref().expect("every file has a name"));
            let step = Step::new(seed, number);
            let data = step.data(part);
            assert_eq!(file.size, Some(data.len() as u64), "size of {number}.{part}");
            let back = plugin.retrieve(&file.cid);
            assert!(back.as_ref() == Ok(&data), "{number}.{part}: {:?}", back.map(|back| back.len()));
            listed.entry(number).or_default().insert(part, file.pinned);
            found.files += usize::from(self.held.contains_key(&number));
            found.half_deleted += usize::from(self.may_be_held.contains(&number) && file.pinned != step.pinned());
            found.bytes += file.size.unwrap_or_default();
        }
        for (number, files) in &self.held {
            assert_eq!(
                listed.get(number),
                Some(files),
                "files of step {number}, which was acknowledged, and their pins"
            );
        }
        for number in listed.keys().filter(|number| !self.held.contains_key(number)) {
            assert!(self.may_be_held.contains(number), "step {number} is there, and was not stored or was deleted");
        }
        if let Some(files) = listed.get(&self.next) {
            let step = Step::new(seed, self.next);
            assert_eq!(files.len(), step.files(), "step {} was not acknowledged, and is stored in part", step.number);
            assert!(files.values().all(|pinned| *pinned == step.pinned()), "step {} lacks its pins", step.number);
            found.unacknowledged = true;
            self.next += 1;
        }
        self.held = listed;
        found
    }
}
