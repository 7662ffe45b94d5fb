//! SHA-256 (FIPS 180-4) of many independent buffers, four at a time.
//!
//! One SHA-256 is a single long chain of 32-bit operations, which WebAssembly
//! has no instruction for. Independent buffers have independent chains: here
//! each 32-bit lane of a [`u32x4`] holds one buffer's word, so that a vector
//! operation advances four digests. `wide` maps it to simd128 (compile with
//! `-C target-feature=+simd128`), SSE2 or NEON, and to plain arrays elsewhere.
//!
//! This is for hosts without SHA instructions. Where the CPU's can be reached,
//! `sha2` alone is more than twice as fast as these four lanes.
#![allow(clippy::indexing_slicing)] // the indices are those of arrays of fixed size, or made from the slices' lengths

use std::{cmp::Reverse, mem, vec};

use sha2::block_api::compress256;
use wide::{bytemuck::cast, u8x16, u32x4};

type Block = [u8; 64];

/// The eight working words of FIPS 180-4, each for four lanes.
type State = [u32x4; 8];

const LANES: usize = 4;

/// With fewer busy lanes, `sha2` finishes the rest. Four lanes take as long
/// for two buffers as for four, and make 1.3 to 1.6 times the throughput of
/// `sha2` with simd128: three busy lanes break even or better, two do not.
const MIN_BUSY: usize = 3;

/// The initial hash value (FIPS 180-4, 5.3.3).
const H: [u32; 8] = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// The round constants (FIPS 180-4, 4.2.2), repeated for each lane: a vector
/// load is cheaper than a broadcast.
static K: [[u32; LANES]; 64] = {
    #[rustfmt::skip]
    let words: [u32; 64] = [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    ];
    let mut k = [[0; LANES]; 64];
    let mut t = 0;
    while t < 64 {
        k[t] = [words[t]; LANES];
        t += 1;
    }
    k
};

/// SHA-256 digests of independent buffers on their way, four at a time.
///
/// The buffers' lengths may differ: the longest go first, and a lane that is
/// done takes the next, so that lanes run out of work together.
pub struct Sha256Many<'a> {
    queue: vec::IntoIter<Message<'a>>,
    lanes: [Option<Message<'a>>; LANES],
    state: [[u32; LANES]; 8],
    digests: Vec<[u8; 32]>,
}

impl<'a> Sha256Many<'a> {
    /// Nothing is hashed yet.
    pub fn new(inputs: &[&'a [u8]]) -> Self {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_unstable_by_key(|&i| Reverse(inputs[i].len()));
        let messages: Vec<_> = order.into_iter().map(|i| Message::new(i, inputs[i])).collect();
        let mut queue = messages.into_iter();
        let lanes = std::array::from_fn(|_| queue.next());
        Self { queue, lanes, state: H.map(|h| [h; LANES]), digests: vec![[0; 32]; inputs.len()] }
    }

    /// Goes on for at most `most` blocks of 64 bytes in each lane. Gives the
    /// digests, in the order of the inputs, when all are done.
    pub fn step(&mut self, most: usize) -> Option<Vec<[u8; 32]>> {
        match self.lanes.iter().flatten().count() {
            0 => return Some(mem::take(&mut self.digests)),
            busy if busy >= MIN_BUSY => self.step_together(most),
            _ => self.step_alone(most),
        }
        None
    }

    /// All lanes go as far as the shortest. An idle one repeats its work.
    fn step_together(&mut self, most: usize) {
        let blocks = self.lanes.each_ref().map(|lane| lane.as_ref().map(Message::blocks));
        let shortest = blocks.into_iter().flatten().min_by_key(|blocks| blocks.len()).unwrap_or(&[]);
        let run = shortest.len().min(most);
        compress(&mut self.state, blocks.map(|blocks| &blocks.unwrap_or(shortest)[..run]));

        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let Some(message) = lane else { continue };
            message.advance(run);
            if message.blocks().is_empty() {
                self.digests[message.index] = digest(self.state.map(|word| word[i]));
                self.state.iter_mut().zip(H).for_each(|(word, h)| word[i] = h);
                *lane = self.queue.next();
            }
        }
    }

    /// What is left, one after the other, from wherever it has got to.
    fn step_alone(&mut self, most: usize) {
        let Some(i) = self.lanes.iter().position(Option::is_some) else { return };
        let Some(message) = &mut self.lanes[i] else { return };
        let mut state = self.state.map(|word| word[i]);
        let run = message.blocks().len().min(most);
        compress256(&mut state, &message.blocks()[..run]);
        message.advance(run);
        self.state.iter_mut().zip(state).for_each(|(word, new)| word[i] = new);
        if message.blocks().is_empty() {
            self.digests[message.index] = digest(state);
            self.lanes[i] = None;
        }
    }
}

fn digest(state: [u32; 8]) -> [u8; 32] {
    cast(state.map(u32::to_be_bytes))
}

/// A buffer on its way through a lane: its whole blocks where they lie, then
/// one or two blocks of our own with its last bytes, padding and length.
struct Message<'a> {
    index: usize,
    body: &'a [Block],
    tail: [Block; 2],
    /// The first block of `tail` still to be done.
    next_tail: usize,
}

impl<'a> Message<'a> {
    fn new(index: usize, input: &'a [u8]) -> Self {
        let (body, rest) = input.as_chunks();
        let mut tail = [[0; 64]; 2];
        // 0x80 and the 64-bit length must fit behind the rest.
        let next_tail = if rest.len() + 9 <= 64 { 1 } else { 0 };
        let bytes = tail[next_tail..].as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        tail[1][56..].copy_from_slice(&(input.len() as u64 * 8).to_be_bytes());
        Self { index, body, tail, next_tail }
    }

    /// The blocks to do next; empty when all are done.
    fn blocks(&self) -> &[Block] {
        if self.body.is_empty() { &self.tail[self.next_tail..] } else { self.body }
    }

    /// Drops the first `n` of [`Self::blocks`].
    fn advance(&mut self, n: usize) {
        if self.body.is_empty() { self.next_tail += n } else { self.body = &self.body[n..] }
    }
}

/// Repeats `$body` for the constants `$i` = 0 to 15. A loop would leave it to
/// the optimizer whether the words and the state are locals or memory.
macro_rules! unroll16 {
    (|$i:ident| $body:block) => { unroll16!(|$i| $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) };
    (|$i:ident| $body:block $($n:literal)+) => { $({ const $i: usize = $n; $body })+ };
}

/// Runs all of the lanes' blocks, of which each lane has the same number,
/// through the compression function (FIPS 180-4, 6.2.2).
fn compress(state: &mut [[u32; LANES]; 8], lanes: [&[Block]; LANES]) {
    let (first, later) = K.split_at(16);
    let mut sum: State = state.map(u32x4::new);
    let [l0, l1, l2, l3] = lanes;
    for (((b0, b1), b2), b3) in l0.iter().zip(l1).zip(l2).zip(l3) {
        let mut w = load([b0, b1, b2, b3]);
        let mut s = sum;
        unroll16!(|I| { s = round(s, w[I] + u32x4::new(first[I])) });
        // A rolling window: `w[I]` is the word of 16 rounds ago until it is
        // replaced. Loops of 16 rounds are as fast as all 64 unrolled.
        for k in later.as_chunks::<16>().0 {
            unroll16!(|I| {
                w[I] = w[I] + small_sigma0(w[(I + 1) % 16]) + w[(I + 9) % 16] + small_sigma1(w[(I + 14) % 16]);
                s = round(s, w[I] + u32x4::new(k[I]));
            });
        }
        let add = |i: usize| sum[i] + s[i];
        sum = [add(0), add(1), add(2), add(3), add(4), add(5), add(6), add(7)];
    }
    *state = sum.map(u32x4::to_array);
}

/// Word t of each lane's block as vector t: 4x4 transposes of big-endian words.
#[inline(always)]
fn load(blocks: [&Block; LANES]) -> [u32x4; 16] {
    let swap = u8x16::new([3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]);
    let mut w = [u32x4::ZERO; 16];
    for (i, words) in w.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        *words = u32x4::transpose(blocks.map(|block| {
            let bytes = u8x16::new(block.as_chunks().0[i]);
            cast(bytes.shuffle(swap))
        }));
    }
    w
}

#[inline(always)]
fn round([a, b, c, d, e, f, g, h]: State, kw: u32x4) -> State {
    let choose = g ^ (e & (f ^ g));
    let majority = b ^ ((a ^ b) & (b ^ c));
    let t = h + kw + choose + big_sigma1(e);
    [t + big_sigma0(a) + majority, a, b, c, d + t, e, f, g]
}

#[inline(always)]
fn rotr(x: u32x4, n: u32) -> u32x4 {
    (x >> n) | (x << (32 - n))
}

#[inline(always)]
fn big_sigma0(x: u32x4) -> u32x4 {
    rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22)
}

#[inline(always)]
fn big_sigma1(x: u32x4) -> u32x4 {
    rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25)
}

#[inline(always)]
fn small_sigma0(x: u32x4) -> u32x4 {
    rotr(x, 7) ^ rotr(x, 18) ^ (x >> 3)
}

#[inline(always)]
fn small_sigma1(x: u32x4) -> u32x4 {
    rotr(x, 17) ^ rotr(x, 19) ^ (x >> 10)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// xorshift32: reproducible bytes and lengths.
    struct Random(u32);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            self.0
        }

        fn bytes(&mut self, len: usize) -> Vec<u8> {
            (0..len).map(|_| self.next() as u8).collect()
        }
    }

    fn sha256_many(inputs: &[&[u8]]) -> Vec<[u8; 32]> {
        in_steps(inputs, usize::MAX)
    }

    fn in_steps(inputs: &[&[u8]], most: usize) -> Vec<[u8; 32]> {
        let mut hashing = Sha256Many::new(inputs);
        loop {
            if let Some(digests) = hashing.step(most) {
                return digests;
            }
        }
    }

    fn check(inputs: &[Vec<u8>]) {
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let digests = sha256_many(&slices);
        assert_eq!(digests.len(), inputs.len());
        for (i, (input, digest)) in inputs.iter().zip(&digests).enumerate() {
            let expected: [u8; 32] = Sha256::digest(input).into();
            assert_eq!(digest, &expected, "input {i} of {}, {} bytes", inputs.len(), input.len());
        }
    }

    /// Not through `sha2`, which also finishes our own last lanes: the two
    /// messages of NIST's SHA-256 example, thrice, so that the vectors run.
    #[test]
    fn nist_examples() {
        let abc = b"abc".as_slice();
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".as_slice();
        let hex = |digest: [u8; 32]| digest.map(|byte| format!("{byte:02x}")).concat();
        let digests: Vec<String> = sha256_many(&[abc, long, abc, long, abc, long]).into_iter().map(hex).collect();
        for pair in digests.chunks(2) {
            assert_eq!(pair[0], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
            assert_eq!(pair[1], "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        }
    }

    /// Every length around one to five blocks, in each number of busy lanes.
    #[test]
    fn all_short_lengths() {
        let mut random = Random(1);
        for len in 0..=300 {
            let inputs: Vec<_> = (0..len % 10).map(|_| random.bytes(len)).collect();
            check(&inputs);
        }
        check(&(0..=300).map(|len| random.bytes(len)).collect::<Vec<_>>());
    }

    #[test]
    fn mixed_lengths() {
        let mut random = Random(2);
        for _ in 0..200 {
            let count = random.next() % 24;
            let inputs: Vec<_> = (0..count)
                .map(|_| {
                    let limit = 1 << (random.next() % 15);
                    let len = random.next() % limit;
                    random.bytes(len as usize)
                })
                .collect();
            check(&inputs);
        }
    }

    #[test]
    fn more_than_a_mebibyte() {
        let mut random = Random(3);
        let lens = [(1 << 20) + 17, 5, 3 << 20, 1 << 20, 0, (1 << 20) + 17, 999_999];
        check(&lens.map(|len| random.bytes(len)));
    }

    /// Wherever it is interrupted, it goes on from there.
    #[test]
    fn in_steps_of_any_size() {
        let mut random = Random(5);
        let inputs: Vec<_> = (0..11).map(|i| random.bytes(100 * i * i)).collect();
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        for most in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(in_steps(&slices, most), sha256_many(&slices), "{most} blocks at a time");
        }
    }

    /// Inputs need no alignment, and may overlap.
    #[test]
    fn unaligned() {
        let data = Random(4).bytes(5000);
        let slices: Vec<&[u8]> = (0..40).map(|i| &data[i..4000 + 7 * i]).collect();
        for (slice, digest) in slices.iter().zip(sha256_many(&slices)) {
            assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(slice)));
        }
    }
}
