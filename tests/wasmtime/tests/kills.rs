//! A host process killed at random places in an import: what was acknowledged is whole, and nothing half is to be seen.

use std::{
    env, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use wasmtime_host_tests::{
    Plugin,
    victim::{Model, Victim},
};

const KILLS: u32 = 60;
const LONGEST_RUN: Duration = Duration::from_millis(1200);
/// So short that many a victim dies while it opens the store.
const SHORT_RUN: Duration = Duration::from_millis(30);

#[test]
fn what_was_acknowledged_outlives_a_killed_host() {
    let seed = env::var("KILL_SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
        |seed| seed.parse().unwrap(),
    );
    println!("KILL_SEED={seed} repeats the files and the delays");
    let start = Instant::now();
    let folder = TempDir::new().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    let (mut opening, mut acknowledged, mut deleted, mut files, mut bytes) = (0, 0, 0, 0, 0);
    let (mut unacknowledged, mut half_deleted, mut torn, mut torn_bytes) = (0, 0, 0, 0);
    for round in 0..KILLS {
        let longest = if round % 4 == 3 { SHORT_RUN } else { LONGEST_RUN };
        let durability = if random.bool() { "strict" } else { "relaxed" };
        let victim = Victim::start(env!("CARGO_BIN_EXE_kill-victim"), folder.path(), seed, model.next, durability);
        thread::sleep(longest.mul_f64(random.f64()));
        let said = victim.kill();
        assert!(!said.locked, "it is the only owner");
        model.learn(&said, seed);
        let mut plugin = Plugin::open(folder.path());
        let found = model.check(&mut plugin, seed);
        // The next victim finds a store that was left well, or one that this instance leaves in the lurch.
        if random.bool() {
            plugin.close();
        }
        opening += u32::from(!said.opened);
        acknowledged += said.stored.len();
        deleted += said.deleted.len();
        files += found.files;
        bytes += found.bytes;
        unacknowledged += u32::from(found.unacknowledged);
        half_deleted += found.half_deleted;
        torn += u32::from(found.torn_bytes > 0);
        torn_bytes += found.torn_bytes;
    }
    println!(
        "{KILLS} kills in {:.1} s, {opening} of them while opening; {acknowledged} steps acknowledged, {deleted} deleted; \
         {files} checks of acknowledged files, {} MiB compared; {unacknowledged} steps stored without the word getting \
         out, {half_deleted} files unpinned and not deleted yet; {torn} torn tails of {torn_bytes} bytes in all",
        start.elapsed().as_secs_f64(),
        bytes >> 20,
    );
    assert!(acknowledged > KILLS as usize && deleted > 0, "the victims came to nothing");
}
