// The page: a store of many blocks, filled, opened again, read, added to, and collected.

import { openStorage } from '/npm/index.js';

const BLOCK = 1024;
const FILES = 12;
/** Blocks in one `putBlocks`. */
const BATCH = 1000;
const GETS = 2000;
const PUTS = 500;
const OPENINGS = 5;
const WARM_UP = 50;
/** What is put by itself, and the files of one block, have numbers from here on. */
const LITTER = 1 << 28;
const PUT = 1 << 29;
const STORED = 1 << 30;
const DIGITS = 'abcdefghijklmnopqrstuvwxyz234567';

let name;
let storage;
let live;

window.bench = {
  /** Three quarters of the blocks are in files, the others belong to nothing. */
  async fill(blocks) {
    name = `keeping-${blocks}`;
    storage = await openStorage({ name, durability: 'relaxed', tier: 'indexeddb' });
    const each = Math.floor((blocks / 4) * 3 / FILES);
    live = FILES * each;
    for (let file = 0; file < FILES; file++) {
      const parts = Array.from({ length: each }, (_, at) => block(file * each + at));
      await storage.store(new Blob(parts), { layout: { chunkSize: BLOCK } });
    }
    for (let at = 0; at < blocks - live; at += BATCH) {
      const numbers = Array.from({ length: Math.min(BATCH, blocks - live - at) }, (_, more) => LITTER + at + more);
      await storage.putBlocks(await Promise.all(numbers.map(named)));
    }
    await storage.flush();
    return { blocks: (await storage.backendStatus()).blocks };
  },

  async open() {
    const times = [];
    for (let round = 0; round < OPENINGS; round++) {
      storage.close();
      times.push(await timed(async () => (storage = await openStorage({ name, durability: 'relaxed', tier: 'indexeddb' }))));
    }
    await storage.configureCache({ memoryBytes: 0 });
    return figures('open', times);
  },

  async get() {
    let random = 1;
    const next = async () => {
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      const number = Math.floor((random / 2 ** 32) * live);
      const { cid } = await named(number);
      return timed(async () => {
        const bytes = await storage.getBlock(cid);
        if (bytes.length !== BLOCK) throw new Error(`a block of ${bytes.length} bytes`);
      });
    };
    return figures('get', await times(GETS, next));
  },

  /** Puts single blocks, and files of one block. */
  async put() {
    let number = 0;
    const put = async () => {
      const block = await named(PUT + number++);
      return timed(() => storage.putBlocks([block]));
    };
    const store = async () => {
      const data = block(STORED + number++);
      return timed(() => storage.store(data));
    };
    return { ...figures('put', await times(PUTS, put)), ...figures('store', await times(PUTS, store)) };
  },

  async verify() {
    return { verify: await timed(async () => {
      const report = await storage.verify();
      if (!report.sound) throw new Error(`the store is not sound: ${JSON.stringify(report)}`);
    }) };
  },

  /** Collects, while something else counts how long the page's thread is not free. */
  async collect() {
    let held;
    const pauses = watch();
    const start = performance.now();
    const report = await storage.collect({ onProgress: (progress) => (held = progress.held) });
    const collect = (performance.now() - start) / 1000;
    const gaps = await pauses();
    if (report.freedBlocks === 0) throw new Error('garbage goes');
    return { collect, examined: held, freed: report.freedBlocks, pauseLongest: gaps.at(-1), pause: gaps[gaps.length >> 1] };
  },

  close() {
    storage.close();
  },
};

/** Gaps between turns of the page's thread, in seconds, once the function it returns is called. */
function watch() {
  const { port1, port2 } = new MessageChannel();
  const gaps = [];
  let last = performance.now();
  let watching = true;
  const ended = new Promise((resolve) => {
    port1.onmessage = () => {
      const now = performance.now();
      gaps.push((now - last) / 1000);
      last = now;
      if (watching) port2.postMessage(undefined);
      else resolve(gaps.sort((one, other) => one - other));
    };
  });
  port2.postMessage(undefined);
  return () => {
    watching = false;
    return ended.finally(() => port1.close());
  };
}

async function timed(action) {
  const start = performance.now();
  await action();
  return (performance.now() - start) / 1000;
}

async function times(count, measure) {
  for (let round = 0; round < WARM_UP; round++) await measure();
  const measured = [];
  for (let round = 0; round < count; round++) measured.push(await measure());
  return measured;
}

function figures(name, measured) {
  const sorted = measured.sort((one, other) => one - other);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return { [name]: at(0.5), [`${name}P99`]: at(0.99) };
}

/** SplitMix32: the bytes of one block, as no other has them. */
function block(number) {
  const words = new Uint32Array(BLOCK / 4);
  words[0] = number;
  let state = Math.imul(number + 1, 0x85ebca6b);
  for (let at = 1; at < words.length; at++) {
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    words[at] = word ^ (word >>> 15);
  }
  return new Uint8Array(words.buffer);
}

/** A block and its CID: base32 of version 1, codec raw, and the SHA-256. */
async function named(number) {
  const bytes = block(number);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  let cid = 'b';
  let bits = 0;
  let held = 0;
  for (const byte of [1, 0x55, 0x12, 32, ...digest]) {
    bits = ((bits << 8) | byte) & 0xfff;
    for (held += 8; held >= 5; held -= 5) cid += DIGITS[(bits >> (held - 5)) & 31];
  }
  if (held > 0) cid += DIGITS[(bits << (5 - held)) & 31];
  return { cid, bytes };
}
