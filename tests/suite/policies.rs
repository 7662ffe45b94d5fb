//! The replacement policies against plain models of them, written from the papers with nothing but `Vec`s, on random
//! histories; and what each policy is chosen for.

use std::collections::BTreeMap;

use cid::Version;
use futures_executor::block_on;
use ipfs_kit_storage::{
    Cid, Error,
    block::{self, Block, Codec},
    hash::{CpuHasher, HashFunction},
    policy::{Pass, Policy, Replacement},
};

/// A generator of the test's own, so that a seed printed today gives the same history tomorrow.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Says which history failed, when one does.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

// The models. An entry moves from list to list by the papers' own cases; whatever can be found by looking at all of a
// list is found so.

#[derive(Debug, Clone)]
struct Item {
    key: u64,
    bytes: u64,
    /// References while in the cache: LFU-DA's F.
    uses: u64,
    /// LFU-DA's K: F plus the cache's age at the last reference.
    rank: u64,
    /// When it was referenced last.
    last: u64,
}

/// Front: least recently used.
type List = Vec<Item>;

fn sum(list: &List) -> u64 {
    list.iter().map(|item| item.bytes).sum()
}

fn take(list: &mut List, key: u64) -> Option<Item> {
    let at = list.iter().position(|item| item.key == key)?;
    Some(list.remove(at))
}

fn has(list: &List, key: u64) -> bool {
    list.iter().any(|item| item.key == key)
}

#[derive(Debug, Clone)]
struct Model {
    policy: Policy,
    capacity: u64,
    now: u64,
    /// LFU-DA's L.
    age: u64,
    /// ARC's p.
    p: u64,
    newcomer: Option<u64>,
    newcomer_was_in_b2: bool,
    /// LRU and LFU hold all of theirs here.
    t1: List,
    t2: List,
    b1: List,
    b2: List,
}

impl Model {
    fn new(policy: Policy, capacity: u64) -> Self {
        let [t1, t2, b1, b2] = [const { Vec::new() }; 4];
        let (newcomer, newcomer_was_in_b2) = (None, false);
        Model { policy, capacity, now: 0, age: 0, p: 0, newcomer, newcomer_was_in_b2, t1, t2, b1, b2 }
    }

    fn holds(&self, key: u64) -> bool {
        has(&self.t1, key) || has(&self.t2, key)
    }

    fn referenced(&mut self, mut item: Item) -> Item {
        self.now += 1;
        item.uses += 1;
        item.rank = item.uses + self.age;
        item.last = self.now;
        item
    }

    fn admit(&mut self, key: u64, bytes: u64) {
        self.newcomer_was_in_b2 = false;
        let b = (sum(&self.b1) as f64, sum(&self.b2) as f64);
        if let Some(mut item) = take(&mut self.t1, key).or_else(|| take(&mut self.t2, key)) {
            // Case I: a hit.
            item.bytes = bytes;
            let item = self.referenced(item);
            if self.policy == Policy::Arc { self.t2.push(item) } else { self.t1.push(item) }
        } else if let Some(mut item) = take(&mut self.b1, key) {
            // Case II: B1 proves right, T1 should have been larger.
            let delta = if b.0 >= b.1 { item.bytes } else { (item.bytes as f64 * (b.1 / b.0)) as u64 };
            self.p = (self.p + delta).min(self.capacity);
            item.bytes = bytes;
            let item = self.referenced(item);
            self.t2.push(item);
        } else if let Some(mut item) = take(&mut self.b2, key) {
            // Case III: B2 proves right, T2 should have been larger.
            let delta = if b.1 >= b.0 { item.bytes } else { (item.bytes as f64 * (b.0 / b.1)) as u64 };
            self.p = self.p.saturating_sub(delta);
            self.newcomer_was_in_b2 = true;
            item.bytes = bytes;
            let item = self.referenced(item);
            self.t2.push(item);
        } else {
            // Case IV: never seen, or forgotten.
            let item = self.referenced(Item { key, bytes, uses: 0, rank: 0, last: 0 });
            self.t1.push(item);
        }
        self.newcomer = Some(key);
        self.forget_ghosts();
    }

    fn touch(&mut self, key: u64) -> bool {
        let found = take(&mut self.t1, key).or_else(|| take(&mut self.t2, key));
        let held = found.is_some();
        if let Some(item) = found {
            let item = self.referenced(item);
            if self.policy == Policy::Arc { self.t2.push(item) } else { self.t1.push(item) }
        }
        held
    }

    fn remove(&mut self, key: u64) {
        for list in [&mut self.t1, &mut self.t2, &mut self.b1, &mut self.b2] {
            take(list, key);
        }
        self.newcomer = self.newcomer.filter(|newcomer| *newcomer != key);
        self.forget_ghosts();
    }

    fn victim(&self, may_go: impl Fn(u64) -> bool) -> Option<u64> {
        let newcomer = self.newcomer;
        let candidates =
            |list: &List| list.iter().filter(|item| Some(item.key) != newcomer && may_go(item.key)).cloned().collect();
        let (t1, t2): (List, List) = (candidates(&self.t1), candidates(&self.t2));
        let found = match self.policy {
            Policy::Lru => t1.first(),
            Policy::Lfu => t1.iter().min_by_key(|item| (item.rank, item.last)),
            Policy::Arc => {
                // REPLACE, before the newcomer is in.
                let bytes: u64 = self.t1.iter().filter(|item| Some(item.key) != newcomer).map(|item| item.bytes).sum();
                let from_b2 = newcomer.is_some() && self.newcomer_was_in_b2;
                let t1_gives = bytes > self.p || (from_b2 && bytes == self.p);
                if t1_gives { t1.first().or(t2.first()) } else { t2.first().or(t1.first()) }
            }
        };
        found.map(|item| item.key).or(newcomer.filter(|key| may_go(*key)))
    }

    fn evicted(&mut self, key: u64) {
        if self.newcomer == Some(key) {
            self.newcomer = None;
        }
        if let Some(item) = take(&mut self.t1, key) {
            match self.policy {
                Policy::Lru => {}
                Policy::Lfu => self.age = self.age.max(item.rank),
                Policy::Arc if item.bytes > self.capacity => {}
                Policy::Arc => self.b1.push(item),
            }
        } else if let Some(item) = take(&mut self.t2, key)
            && item.bytes <= self.capacity
        {
            self.b2.push(item);
        }
        // A ghost is newer than whatever was used before.
        self.now += 1;
        let now = self.now;
        [&mut self.b1, &mut self.b2]
            .into_iter()
            .flatten()
            .filter(|item| item.key == key)
            .for_each(|item| item.last = now);
        self.forget_ghosts();
    }

    fn forget_ghosts(&mut self) {
        while !self.b1.is_empty() && sum(&self.t1) + sum(&self.b1) > self.capacity {
            self.b1.remove(0);
        }
        // What is over the capacity is about to go: the paper makes room first.
        let all =
            |model: &Model| (sum(&model.t1) + sum(&model.t2)).min(model.capacity) + sum(&model.b1) + sum(&model.b2);
        while !self.b2.is_empty() && all(self) > 2 * self.capacity {
            self.b2.remove(0);
        }
        while !self.b1.is_empty() && all(self) > 2 * self.capacity {
            self.b1.remove(0);
        }
    }

    fn set_policy(&mut self, policy: Policy) {
        if policy == self.policy {
            return;
        }
        let mut held = [std::mem::take(&mut self.t1), std::mem::take(&mut self.t2)].concat();
        held.sort_by_key(|item| item.last);
        held.iter_mut().for_each(|item| item.rank = item.uses);
        (self.policy, self.age, self.p) = (policy, 0, 0);
        self.b1.clear();
        self.b2.clear();
        match policy {
            Policy::Arc => (self.t1, self.t2) = held.into_iter().partition(|item| item.uses == 1),
            Policy::Lru | Policy::Lfu => self.t1 = held,
        }
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.p = self.p.min(capacity);
        self.forget_ghosts();
    }

    fn order(&self) -> Vec<(u64, u64)> {
        let mut rest = self.clone();
        std::iter::from_fn(|| {
            let key = rest.victim(|_| true)?;
            let bytes = rest.t1.iter().chain(&rest.t2).find(|item| item.key == key)?.bytes;
            rest.evicted(key);
            Some((key, bytes))
        })
        .collect()
    }
}

fn encode(key: &u64) -> Vec<u8> {
    key.to_string().into_bytes()
}

fn decode(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn restored(order: &Replacement<u64>) -> Replacement<u64> {
    let bytes = order.snapshot(encode);
    let again = Replacement::restore(&bytes, order.capacity(), decode).unwrap();
    assert_eq!(again.snapshot(encode), bytes);
    again
}

/// Evicts until there is room, both sides the same, with those keys pinned that a bit is set for.
fn make_room(order: &mut Replacement<u64>, model: &mut Model, pinned: u64) {
    let mut pass = Pass::default();
    let mut asked = BTreeMap::<u64, u32>::new();
    while order.bytes() > order.capacity() {
        let may_go = |key: u64| pinned & (1 << key) == 0;
        let victim = order.victim(&mut pass, |key| {
            *asked.entry(*key).or_default() += 1;
            may_go(*key)
        });
        assert_eq!(victim, model.victim(may_go));
        assert!(asked.values().all(|times| *times == 1), "asked more than once in a pass");
        let Some(key) = victim else { break };
        order.evicted(&key);
        model.evicted(key);
    }
}

fn compare(order: &Replacement<u64>, model: &Model) {
    let held: Vec<(u64, u64)> = order.order().collect();
    assert_eq!(held, model.order());
    assert_eq!(order.len(), held.len());
    assert_eq!(order.bytes(), sum(&model.t1) + sum(&model.t2));
    assert_eq!(order.ghosts(), model.b1.len() + model.b2.len());
    assert_eq!((order.policy(), order.capacity()), (model.policy, model.capacity));
    assert!(held.iter().all(|(key, bytes)| order.bytes_of(key) == Some(*bytes)));
}

fn history(seed: u64, policy: Policy, steps: u32) {
    let dice = &mut Dice::new(seed);
    let capacity = 1 + dice.below(200);
    let (mut order, mut model) = (Replacement::new(policy, capacity), Model::new(policy, capacity));
    let keys = 10 + dice.below(50);
    let alike = dice.below(4) == 0;
    let tidy = dice.below(3) != 0;
    let moody = dice.below(3) == 0;
    for _ in 0..steps {
        let key = if dice.below(3) == 0 { dice.below(keys / 4) } else { dice.below(keys) };
        match dice.below(100) {
            0..45 => {
                let bytes = match dice.below(20) {
                    _ if alike => 10,
                    0 => 0,
                    1 => dice.below(2 * capacity),
                    _ => dice.below(30),
                };
                order.admit(key, bytes);
                model.admit(key, bytes);
                if tidy {
                    make_room(&mut order, &mut model, 0);
                }
            }
            45..75 => assert_eq!(order.touch(&key), model.touch(key)),
            75..88 => {
                let pinned = (0..keys).filter(|_| dice.below(4) == 0).fold(0, |pinned, key| pinned | 1 << key);
                make_room(&mut order, &mut model, pinned);
            }
            88..93 => {
                order.remove(&key);
                model.remove(key);
            }
            // Whoever it is, and whether it is held or not.
            93..94 => {
                order.evicted(&key);
                model.evicted(key);
            }
            94..97 => order = restored(&order),
            _ if moody && dice.below(2) == 0 => {
                let policy = Policy::ALL[dice.below(3) as usize];
                order.set_policy(policy);
                model.set_policy(policy);
            }
            _ if moody => {
                let capacity = dice.below(250);
                order.set_capacity(capacity);
                model.set_capacity(capacity);
            }
            _ => {}
        }
        assert_eq!(order.bytes_of(&key).is_some(), model.holds(key));
        compare(&order, &model);
    }
}

#[test]
fn random_histories_go_as_the_models_have_it() {
    for seed in 0..120 {
        let _seed = Seed(seed);
        for policy in Policy::ALL {
            history(seed, policy, 2000);
        }
    }
}

/// ARC(c) as in figure 4 of the paper, of `c` pages of one size; room is made before a page comes in.
#[derive(Default)]
struct Textbook {
    c: usize,
    p: u64,
    t1: Vec<u64>,
    t2: Vec<u64>,
    b1: Vec<u64>,
    b2: Vec<u64>,
}

/// So large that rounding shares of it to bytes changes nothing.
const PAGE: u64 = 1 << 30;

impl Textbook {
    /// Whether it was a hit.
    fn request(&mut self, x: u64) -> bool {
        let b = (self.b1.len() as f64, self.b2.len() as f64);
        let take = |list: &mut Vec<u64>| list.iter().position(|y| *y == x).map(|at| list.remove(at));
        if take(&mut self.t1).or_else(|| take(&mut self.t2)).is_some() {
            self.t2.push(x);
            return true;
        }
        if self.b1.contains(&x) {
            self.p = (self.p + (PAGE as f64 * (b.1 / b.0).max(1.0)) as u64).min(self.c as u64 * PAGE);
            self.replace(x);
            take(&mut self.b1);
            self.t2.push(x);
        } else if self.b2.contains(&x) {
            self.p = self.p.saturating_sub((PAGE as f64 * (b.0 / b.1).max(1.0)) as u64);
            self.replace(x);
            take(&mut self.b2);
            self.t2.push(x);
        } else {
            let (l1, l2) = (self.t1.len() + self.b1.len(), self.t2.len() + self.b2.len());
            if l1 == self.c {
                if self.t1.len() < self.c {
                    self.b1.remove(0);
                    self.replace(x);
                } else {
                    self.t1.remove(0);
                }
            } else if l1 + l2 >= self.c {
                if l1 + l2 == 2 * self.c {
                    self.b2.remove(0);
                }
                self.replace(x);
            }
            self.t1.push(x);
        }
        false
    }

    fn replace(&mut self, x: u64) {
        let t1 = self.t1.len() as u64 * PAGE;
        if !self.t1.is_empty() && (t1 > self.p || (self.b2.contains(&x) && t1 == self.p)) {
            self.b1.push(self.t1.remove(0));
        } else {
            self.b2.push(self.t2.remove(0));
        }
    }
}

fn request(order: &mut Replacement<u64>, key: u64, bytes: u64) -> bool {
    let hit = order.touch(&key);
    if !hit {
        order.admit(key, bytes);
        let mut pass = Pass::default();
        while order.bytes() > order.capacity() {
            order.evicted(&order.victim(&mut pass, |_| true).unwrap());
        }
    }
    hit
}

#[test]
fn with_pages_of_one_size_arc_is_that_of_the_paper() {
    for seed in 0..60 {
        let _seed = Seed(seed);
        let dice = &mut Dice::new(seed);
        let c = 1 + dice.below(30) as usize;
        let mut paper = Textbook { c, ..Textbook::default() };
        let mut order = Replacement::new(Policy::Arc, c as u64 * PAGE);
        let mut scan = 1000;
        for step in 0..5000 {
            let key = match step / 500 % 4 {
                0 => dice.below(c as u64 * 2),
                1 => dice.below(c as u64).min(dice.below(c as u64 * 4)),
                2 if dice.below(3) == 0 => {
                    scan += 1;
                    scan
                }
                _ => dice.below(c as u64 * 3) + step / 1000,
            };
            assert_eq!(request(&mut order, key, PAGE), paper.request(key), "step {step}");
            let mut held: Vec<u64> = order.order().map(|(key, _)| key).collect();
            let mut expected = [paper.t1.clone(), paper.t2.clone()].concat();
            held.sort_unstable();
            expected.sort_unstable();
            assert_eq!(held, expected, "step {step}");
            assert_eq!(order.ghosts(), paper.b1.len() + paper.b2.len(), "step {step}");
        }
    }
}

fn keys(order: &Replacement<u64>) -> Vec<u64> {
    order.order().map(|(key, _)| key).collect()
}

#[test]
fn policies_go_by_their_names() {
    for policy in Policy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    let refused = "LRU".parse::<Policy>();
    assert_eq!(refused, Err(Error::InvalidArgument("no policy \"LRU\"; there are lru, lfu and arc".into())));
}

/// Ten entries that are used again and again, then a thousand that are used once; how many of the ten stay.
fn after_a_scan(policy: Policy) -> usize {
    let mut order = Replacement::new(policy, 200);
    for key in (0..10).cycle().take(100) {
        request(&mut order, key, 10);
    }
    for key in 1000..2000 {
        request(&mut order, key, 10);
    }
    (0..10).filter(|key| order.bytes_of(key).is_some()).count()
}

#[test]
fn a_scan_empties_lru_and_passes_arc_by() {
    assert_eq!(after_a_scan(Policy::Lru), 0);
    assert_eq!(after_a_scan(Policy::Arc), 10);
}

#[test]
fn lfu_keeps_a_favourite_through_a_scan_but_not_for_ever() {
    let mut order = Replacement::new(Policy::Lfu, 100);
    for _ in 0..100 {
        request(&mut order, 0, 10);
    }
    for key in 1000..1500 {
        request(&mut order, key, 10);
    }
    assert!(order.touch(&0), "gone too early");
    for key in 2000..4000 {
        request(&mut order, key, 10);
    }
    assert!(!order.touch(&0), "a favourite that nobody asks for any more");
}

#[test]
fn among_equals_lfu_lets_the_least_recently_used_go() {
    let mut order = Replacement::new(Policy::Lfu, 100);
    for key in [1, 2, 3, 2, 1, 4] {
        order.admit(key, 1);
    }
    assert_eq!(keys(&order), [3, 2, 1, 4]);
}

#[test]
fn arc_gives_t1_more_when_what_it_let_go_returns() {
    let mut order = Replacement::new(Policy::Arc, 40);
    for key in [1, 1, 2, 2, 3, 4, 5] {
        request(&mut order, key, 10);
    }
    assert_eq!((keys(&order), order.ghosts()), (vec![4, 1, 2, 5], 1));
    // 3 was let go and comes back, so T1 should have 10 bytes more: it gives up 4, but not 5.
    assert!(!request(&mut order, 3, 10));
    assert_eq!(keys(&order), [1, 2, 5, 3]);
    // 4 was let go and comes back: now T2 gives way to it and to what comes after.
    for key in [4, 6] {
        assert!(!request(&mut order, key, 10));
    }
    assert_eq!(keys(&order), [3, 4, 5, 6]);
}

#[test]
fn the_newcomer_goes_last_and_only_if_nothing_else_may() {
    for policy in Policy::ALL {
        let mut order = Replacement::new(policy, 100);
        for key in [1, 1, 2, 2, 3] {
            order.admit(key, 40);
        }
        assert_eq!(keys(&order), [1, 2, 3], "{policy}");
        let mut pass = Pass::default();
        assert_eq!(order.victim(&mut pass, |key| *key == 3), Some(3));
        assert_eq!(order.victim(&mut pass, |_| true), None, "each was asked about in this pass");
    }
}

#[test]
fn what_cannot_fit_pushes_all_out_and_goes_itself() {
    for policy in Policy::ALL {
        let mut order = Replacement::new(policy, 100);
        for key in 0..5 {
            request(&mut order, key, 20);
        }
        request(&mut order, 9, 101);
        assert_eq!((order.len(), order.bytes()), (0, 0), "{policy}");
        request(&mut order, 9, 100);
        assert_eq!(keys(&order), [9], "{policy}");
    }
}

#[test]
fn an_entry_too_large_leaves_no_ghost() {
    let mut order = Replacement::new(Policy::Arc, 100);
    for (key, bytes) in [(1, 40), (1, 40), (2, 70)] {
        request(&mut order, key, bytes);
    }
    assert_eq!(order.ghosts(), 1);
    // Admitted twice, so that T2 has it; its ghost would push out the other ones.
    order.admit(9, 150);
    order.admit(9, 150);
    for key in [9, 2] {
        order.evicted(&key);
    }
    assert_eq!((order.len(), order.ghosts()), (0, 2));
}

#[test]
fn sizes_may_change_be_nothing_or_beyond_counting() {
    for policy in Policy::ALL {
        let mut order = Replacement::new(policy, 100);
        order.admit(1, 50);
        order.admit(1, 30);
        assert_eq!((order.bytes(), order.len()), (30, 1));
        order.admit(2, 0);
        assert_eq!((order.bytes(), order.len()), (30, 2));
        order.admit(3, u64::MAX);
        order.admit(4, u64::MAX);
        assert_eq!((order.bytes(), order.len()), (u64::MAX, 4));
        order.remove(&3);
        order.remove(&4);
        assert_eq!(order.bytes(), 30);
        order.set_capacity(u64::MAX);
        order.admit(5, u64::MAX);
        restored(&order);
    }
}

#[test]
fn ghosts_are_bounded_in_bytes_and_in_count() {
    let mut order = Replacement::new(Policy::Arc, 1000);
    for key in 0..10_000 {
        order.admit(key, 0);
        order.evicted(&key);
        assert!(order.ghosts() <= 1024);
    }
    // The latest are remembered: they come back as used more than once, and stay when one used once has to go.
    order.admit(9_999, 1);
    order.admit(0, 1);
    order.admit(1, 1);
    assert_eq!(keys(&order), [0, 9_999, 1]);

    let mut order = Replacement::new(Policy::Arc, 1000);
    for key in 0..10_000 {
        request(&mut order, key % 400, key % 13);
        request(&mut order, key % 7, 9);
        let (once, held) = (order.ghosts() as u64, order.bytes());
        assert!(held <= 1000 && once <= 1024);
    }
}

#[test]
fn many_pinned_entries_are_looked_at_once() {
    for policy in Policy::ALL {
        let mut order = Replacement::new(policy, 0);
        for key in 0..40_000 {
            order.admit(key, 1);
        }
        let (mut pass, mut asked, mut gone) = (Pass::default(), 0, 0);
        while let Some(key) = order.victim(&mut pass, |key| {
            asked += 1;
            *key >= 20_000
        }) {
            order.evicted(&key);
            gone += 1;
        }
        assert_eq!((asked, gone), (40_000, 20_000), "{policy}");
    }
}

#[test]
fn a_victim_that_stays_is_offered_once_in_a_pass() {
    for policy in Policy::ALL {
        let mut order = Replacement::new(policy, 0);
        (0..5).for_each(|key| order.admit(key, 1));
        let mut pass = Pass::default();
        let offered: Vec<u64> = std::iter::from_fn(|| order.victim(&mut pass, |_| true)).take(10).collect();
        assert_eq!(offered, [0, 1, 2, 3, 4]);
        assert_eq!(order.victim(&mut Pass::default(), |_| true), Some(0), "the next pass begins anew");
    }
}

#[test]
fn another_policy_takes_the_entries_as_they_were_used() {
    let mut order = Replacement::new(Policy::Lru, 100);
    for key in [1, 2, 3, 1, 1, 2, 3, 4, 5] {
        order.admit(key, 10);
    }
    assert_eq!(keys(&order), [1, 2, 3, 4, 5]);
    order.set_policy(Policy::Lfu);
    assert_eq!(keys(&order), [4, 2, 3, 1, 5]);
    order.set_policy(Policy::Arc);
    assert_eq!(keys(&order), [4, 1, 2, 3, 5]);
    order.evicted(&1);
    assert_eq!(order.ghosts(), 1);
    order.set_policy(Policy::Lru);
    assert_eq!((keys(&order), order.ghosts()), (vec![2, 3, 4, 5], 0));
}

/// An order by ARC that has entries in all four lists.
fn lived_in(policy: Policy) -> Replacement<u64> {
    let dice = &mut Dice::new(7);
    let mut order = Replacement::new(policy, 1000);
    for _ in 0..2000 {
        request(&mut order, dice.below(60).min(dice.below(200)), dice.below(100));
    }
    order
}

#[test]
fn a_snapshot_holds_real_cids() {
    let mut order = Replacement::<Cid>::new(Policy::Arc, 1000);
    let parts = (0..20u8).map(|n| vec![n; 100].into()).collect();
    let blocks = block_on(Block::make(&CpuHasher, Version::V1, Codec::Raw, HashFunction::Sha2_256, parts)).unwrap();
    for block in &blocks {
        order.admit(block.cid().clone(), block.bytes().len() as u64);
    }
    let bytes = order.snapshot(|cid| cid.to_bytes());
    assert!(bytes.len() <= 20 * 41 + 4, "{} bytes", bytes.len());
    let again = Replacement::restore(&bytes, 1000, |bytes| block::from_bytes(bytes).ok()).unwrap();
    assert!(again.order().eq(order.order()));
}

#[test]
fn a_snapshot_restored_with_less_room_keeps_within_it() {
    let order = lived_in(Policy::Arc);
    assert!(order.ghosts() > 0);
    let smaller = Replacement::restore(&order.snapshot(encode), 10, decode).unwrap();
    assert_eq!((smaller.bytes(), smaller.ghosts()), (order.bytes(), 0));
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let restore = |bytes: &[u8]| Replacement::restore(bytes, 1000, decode);
    let refused = |bytes: &[u8]| matches!(restore(bytes), Err(Error::Corrupt { cid: None, .. }));
    // Version, policy, target, age; state, bytes, uses, key.
    let good = [1, 2, 0, 0, 1, 5, 1, 1, b'7'];
    assert_eq!(restore(&good).unwrap().ghosts(), 1);
    assert!(refused(&[]));
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    for (at, byte, why) in [
        (0, 2, "a later version"),
        (1, 3, "an unknown policy"),
        (1, 0, "a ghost under LRU"),
        (4, 4, "an unknown state"),
        (6, 0, "an entry that was never used"),
        (7, 2, "a key beyond the end"),
        (8, b'x', "a key that the caller does not know"),
    ] {
        assert!(refused(&with(at, byte)), "{why}");
    }
    assert!(refused(&[&good[..], &good[4..]].concat()), "the same key twice");
    let newcomers = [1, 2, 0, 0, 2, 5, 1, 1, b'7', 2, 5, 1, 1, b'8'];
    assert!(refused(&newcomers), "two newcomers");
    let huge = [&[1, 0, 0, 0, 0][..], &[0xff; 9], &[1, 1, 1, b'7', 0, 1, 1, 1, b'8']].concat();
    assert!(refused(&huge), "more bytes than can be counted");
    assert!(restore(&huge[..18]).is_ok());
    let long = [&[1, 0, 0, 0, 0][..], &[0xff; 9], &[2, 1, 1, b'7']].concat();
    assert!(refused(&long), "a number of more than 64 bits");
    for policy in Policy::ALL {
        let whole = lived_in(policy).snapshot(encode);
        // Cut between two entries, it is a snapshot of fewer.
        let taken = (0..whole.len()).filter(|length| restore(&whole[..*length]).is_ok()).count();
        assert!(taken <= lived_in(policy).len() + lived_in(policy).ghosts());
    }
}

#[test]
fn damaged_snapshots_never_panic() {
    let mut taken = 0;
    for seed in 0..30_000 {
        let _seed = Seed(seed);
        let dice = &mut Dice::new(seed);
        let mut bytes = lived_in_once(dice.below(3) as usize).clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() as u64) as usize;
            match dice.below(4) {
                0 => bytes[at] = dice.below(256) as u8,
                1 => bytes[at] ^= 1 << dice.below(8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, dice.below(256) as u8),
            }
        }
        if let Ok(mut order) = Replacement::restore(&bytes, 1000, decode) {
            taken += 1;
            for key in 0..30 {
                request(&mut order, key, key);
            }
            order.set_policy(Policy::ALL[dice.below(3) as usize]);
            assert!(order.bytes() <= 1000);
            restored(&order);
        }
    }
    assert!(taken > 100, "{taken}");
}

fn lived_in_once(policy: usize) -> &'static Vec<u8> {
    static MADE: std::sync::OnceLock<[Vec<u8>; 3]> = std::sync::OnceLock::new();
    &MADE.get_or_init(|| Policy::ALL.map(|policy| lived_in(policy).snapshot(encode)))[policy]
}
