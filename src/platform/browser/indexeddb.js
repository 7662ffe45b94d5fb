// IndexedDB in the terms of the tier above it: one call a transaction. The layout is drawn in docs/design.md.
//
//   blocks  place (autoIncrement) → { keys: [multihash...], lengths, value }, index `keys` (multiEntry)
//           value: the blocks one after the other, in a Blob or each by itself if they are large, else in a Uint8Array
//           place 0: the reserve
//   log     autoIncrement → { record: Uint8Array | undefined, whole: boolean, blocks, bytes, quarantined }
//           one entry a commit: what it says of roots and pins, and by how much it changes the figures

/** Blocks from this size on are large: values from 64 KiB on cost a file of their own in Chromium. */
const LARGE_BYTES = 56 * 1024;
/** Most bytes in one record of large blocks: reading four leaves of 1 MiB at once is twice as fast as one by one. */
const BLOB_BYTES = 4 * 1024 * 1024 + 4096;
/** Most blocks in one record, should they be tiny. */
const MAX_KEYS = 256;
/**
 * Most bytes of Blobs made here that the collector has not found yet: until it has, the browser keeps their bytes, and it
 * has room for half a gigabyte where it cannot move them to its disk. Above this, large blocks are written as arrays.
 */
const MAX_BLOB_BYTES = 128 * 1024 * 1024;
/** Records of Blobs that are remembered: looking one up costs as much as reading a tenth of it. */
const MAX_RECENT = 64;
/** What a key takes in a record, besides the block. */
const KEY_BYTES = 64;
/**
 * The place of the reserve: a record without blocks, whose Blob is as large as the largest. A browser that has no room
 * left refuses whatever writes a byte, and deleting does: it writes to the log, and what is left of a record. It takes
 * deletions alone, and gives the room of a Blob back at once. So the reserve is given up then, and laid anew by the next
 * commit with blocks for which there is room.
 */
const RESERVE = 0;

/** The schema, step by step: a database of version n has gone through the first n. Steps are only ever added. */
export const STEPS = [
  (database) => {
    const blocks = database.createObjectStore('blocks', { keyPath: 'place', autoIncrement: true });
    blocks.createIndex('keys', 'keys', { multiEntry: true });
    database.createObjectStore('log', { autoIncrement: true });
  },
];

export function openDatabase(name, steps = STEPS) {
  return new Promise((resolve, reject) => {
    if (typeof indexedDB === 'undefined') throw failure('unsupported', 'there is no IndexedDB here');
    const request = indexedDB.open(name, steps.length);
    request.onupgradeneeded = (event) => {
      for (const step of steps.slice(event.oldVersion)) step(request.result, request.transaction);
    };
    request.onblocked = () => reject(failure('locked', 'another tab has it open in an older version; close that tab'));
    request.onerror = () => {
      const newer = request.error?.name === 'VersionError';
      reject(newer ? failure('unsupported', 'it was written by a newer version of this package') : request.error);
    };
    request.onsuccess = () => {
      const database = request.result;
      database.recent = new Recent(name);
      // A newer version in another tab may upgrade it; every call here then fails, and says why.
      database.onversionchange = () => {
        database.outdated = true;
        database.close();
      };
      resolve(database);
    };
  });
}

/** Closes it at once, and gives the locks back when what was begun has ended: none of it may be overtaken by a sweep. */
export function closeDatabase(database, locks) {
  let last = Promise.resolve();
  try {
    last = committed(database.transaction(['blocks', 'log'], 'readwrite'));
  } catch {
    // It is closed already.
  }
  last.catch(() => {}).then(() => locks.close());
  database.recent.close();
  database.close();
}

/** The quota of this origin, what it uses of it, and whether the browser has promised to keep it; nothing if it is silent. */
export async function room() {
  const { storage } = navigator;
  if (!storage?.estimate) return [];
  const [{ quota, usage }, persisted] = await Promise.all([storage.estimate(), storage.persisted()]);
  return [quota, usage, persisted];
}

/** Of each key its bytes and its record's place, one after the other, or twice undefined. */
export async function readBlocks(database, keys) {
  const { recent } = database;
  const { generation } = recent;
  const known = keys.map((key) => recent.get(key));
  if (!known.includes(undefined)) {
    try {
      return await contents(known, keys);
    } catch {
      recent.clear(); // replaced since
    }
  }
  const index = begin(database, ['blocks'], 'readonly').objectStore('blocks').index('keys');
  // Keys asked for together often lie in one record: that of the first is looked at before the others are asked for.
  const first = await answer(index.get(keys[0]));
  const found = keys.map((key) => (first && position(first, key) >= 0 ? first : undefined));
  const records = await Promise.all(keys.map((key, at) => found[at] ?? (at > 0 ? answer(index.get(key)) : undefined)));
  new Set(records).forEach((record) => recent.add(record, generation));
  // Blobs are read after the transaction: to wait for them inside would end it.
  return contents(records, keys);
}

async function contents(records, keys) {
  const reads = new Map();
  records.forEach((record, at) => {
    if (record === undefined) return;
    if (!reads.has(record)) reads.set(record, []);
    reads.get(record).push({ at, part: position(record, keys[at]) });
  });
  const values = new Array(2 * keys.length);
  const all = [...reads].map(async ([record, wanted]) => {
    const offsets = starts(record);
    const from = Math.min(...wanted.map(({ part }) => offsets[part]));
    const to = Math.max(...wanted.map(({ part }) => offsets[part + 1]));
    const bytes = await slice(record.value, from, to);
    const given = new Set();
    for (const { at, part } of wanted) {
      const view = bytes.subarray(offsets[part] - from, offsets[part + 1] - from);
      // Whoever gets it may give its memory away: the same block asked for twice has it twice.
      values[2 * at] = given.has(part) ? view.slice() : view;
      values[2 * at + 1] = record.place;
      given.add(part);
    }
  });
  await Promise.all(all);
  return values;
}

/** The records of Blobs read last: with these at hand, a read needs no transaction. */
class Recent {
  /** Whether the reserve is laid, as far as is known here. */
  reserved = false;
  /** Counts what was dropped: a record that was read before may be gone. */
  generation = 0;
  #records = new Map();
  #order = [];
  #channel;

  constructor(name) {
    // What one tab drops, the others must not find either.
    if (typeof BroadcastChannel === 'undefined') return;
    this.#channel = new BroadcastChannel(`ipfs-kit-storage ${name}`);
    this.#channel.onmessage = () => this.clear();
  }

  get(key) {
    return this.#records.get(text(key));
  }

  add(record, generation) {
    const outdated = this.#channel === undefined || generation !== this.generation;
    if (outdated || !(record?.value instanceof Blob)) return;
    for (const key of record.keys) this.#records.set(text(key), record);
    this.#order.push(record);
    if (this.#order.length <= MAX_RECENT) return;
    for (const key of this.#order.shift().keys) this.#records.delete(text(key));
  }

  clear() {
    this.reserved = false;
    this.generation += 1;
    this.#records.clear();
    this.#order = [];
  }

  /** Something was dropped here. */
  dropped() {
    this.clear();
    this.#channel?.postMessage('dropped');
  }

  close() {
    this.clear();
    this.#channel?.close();
    this.#channel = undefined;
  }
}

/** Whether each key is there. */
export async function hasBlocks(database, keys) {
  const index = begin(database, ['blocks'], 'readonly').objectStore('blocks').index('keys');
  const found = await answers(keys.map((key) => index.getKey(key)));
  return Uint8Array.from(found, (key) => Number(key !== undefined));
}

/** How long the block of each key is; -1 if it is not there. Blobs are not read. */
export async function blockLengths(database, keys) {
  const blocks = begin(database, ['blocks'], 'readonly').objectStore('blocks');
  const index = blocks.index('keys');
  const places = await answers(keys.map((key) => index.getKey(key)));
  const found = [...new Set(places)].filter((place) => place !== undefined);
  const records = new Map();
  // A record may have all of a large block in it: few of them are in memory at once.
  while (found.length > 0) {
    const some = await answers(found.splice(0, 16).map((place) => blocks.get(place)));
    for (const { place, keys, lengths } of some) records.set(place, { keys, lengths });
  }
  const length = (record, key) => (record === undefined ? -1 : record.lengths[position(record, key)]);
  return Float64Array.from(keys, (key, at) => length(records.get(places[at]), key));
}

/** At most `limit` keys of blocks after one of them, or from the first on, in their order. */
export async function listKeys(database, after, limit) {
  const index = begin(database, ['blocks'], 'readonly').objectStore('blocks').index('keys');
  // The values are not wanted, and the index alone gives its keys only to a cursor.
  const request = index.openKeyCursor(after && IDBKeyRange.lowerBound(after, true), 'nextunique');
  const keys = [];
  for (;;) {
    const cursor = await answer(request);
    if (!cursor) return keys;
    keys.push(cursor.key);
    if (keys.length === limit) return keys;
    cursor.continue();
  }
}

/** The log entries after a place in it. */
export async function readLog(database, after) {
  return entriesAfter(begin(database, ['log'], 'readonly').objectStore('log'), after);
}

/** Replaces the log up to a place by one entry that says the same, unless somebody has written since. */
export async function compactLog(database, upTo, entry) {
  // Its one entry may lie in a file of its own, and the others go with it.
  const transaction = begin(database, ['log'], 'readwrite', { durability: 'strict' });
  const log = transaction.objectStore('log');
  const later = await answer(log.count(IDBKeyRange.lowerBound(upTo, true)));
  if (later === 0) {
    log.delete(IDBKeyRange.upperBound(upTo));
    log.add({ ...entry, whole: true });
  }
  await committed(transaction);
}

/**
 * Writes a commit: drops, then adds what is not there, and enters it in the log. All of it or nothing. The values are
 * pairs of start and length in the memory, one for each key. Gives the log's entries after a place, the new one last, and
 * of each key whether it was there. A copy set aside is known by its record's place. `check`, if there is one, is called
 * first, with the entries after that place: unless it says yes, nothing is written.
 */
export async function writeCommit(database, commit) {
  try {
    return await write(database, commit);
  } catch (error) {
    // What adds blocks is refused; what makes room for them must not be.
    if (error.name !== 'QuotaExceededError' || commit.keys.length > 0 || !(await giveUpReserve(database))) throw error;
    return write(database, commit);
  }
}

async function write(database, commit) {
  const { memory, keys, values, drops, aside, places, record, strict, ahead, reserve, blobs, check, after } = commit;
  // The memory may grow, and its contents go, as soon as this function first waits: the copies are made here.
  const views = keys.map((_, at) => new Uint8Array(memory.buffer, values[2 * at], values[2 * at + 1]));
  const packs = packed(keys, views, blobs);
  let inBlobs = packs.some(({ value }) => value instanceof Blob);
  // Chromium gives large values a file, which it syncs with the transaction that writes it, or not at all: neither a later
  // strict one nor `flush` would. A drop may write what is left of a Blob.
  const large = views.some((view) => view.length >= LARGE_BYTES) || record?.length >= LARGE_BYTES / 2;
  const drop = drops.length + aside.length > 0;
  const options = { durability: large || drop || (strict && !ahead) ? 'strict' : 'relaxed' };
  const transaction = begin(database, ['blocks', 'log'], 'readwrite', options);
  const done = committed(transaction);
  done.catch(() => {}); // reported below, where it is awaited
  const entry = { record, whole: false, blocks: 0, bytes: 0, quarantined: 0 };
  let entries = [];
  let present;
  let known = after;
  try {
    const log = transaction.objectStore('log');
    if (check) {
      const written = await entriesAfter(log, after);
      if (!check(written)) throw failure('conflict', 'something was changed meanwhile');
      known = written.at(-1)?.place ?? after;
    }
    const blocks = transaction.objectStore('blocks');
    const index = blocks.index('keys');
    await dropAll(blocks, index, drops, aside, places, entry);
    present = await answers(keys.map((key) => index.getKey(key)));
    const absent = new Set(keys.filter((_, at) => present[at] === undefined));
    for (const pack of packs) add(blocks, without(pack, (key) => !absent.has(key)), entry);
    if (reserve && blobs && absent.size > 0 && !database.recent.reserved) {
      inBlobs = true;
      await layReserve(blocks);
      database.recent.reserved = true;
    }
    // A strict commit always writes something, so that the browser has something to sync: that is how to flush.
    const changes = record !== undefined || entry.blocks !== 0 || entry.quarantined !== 0;
    if (changes || (strict && !ahead)) entries = await enter(log, entry, known);
    transaction.commit();
    await done;
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      // It has ended already, which is why the call above failed.
    }
    database.recent.reserved = false;
    const reason = transaction.error ?? error;
    if (reason.code === 'conflict') throw reason;
    // There may have been no room for the Blobs only: the caller tries again without.
    throw inBlobs && reason.name !== 'QuotaExceededError' ? failure('blobs', reason.message) : reason;
  }
  if (drop) database.recent.dropped();
  return { entries, present: Uint8Array.from(present, (place) => Number(place !== undefined)) };
}

async function layReserve(blocks) {
  if ((await answer(blocks.count(RESERVE))) > 0) return;
  blocks.put({ place: RESERVE, keys: [], lengths: [], value: blob([new Uint8Array(BLOB_BYTES)]) });
}

/** Whether there was a reserve. */
async function giveUpReserve(database) {
  const transaction = begin(database, ['blocks'], 'readwrite', { durability: 'relaxed' });
  const done = committed(transaction);
  const blocks = transaction.objectStore('blocks');
  const laid = await answer(blocks.count(RESERVE));
  blocks.delete(RESERVE);
  await done;
  database.recent.dropped();
  return laid > 0;
}

/** Adds an entry to the log, and gives it with those before it that the caller has not seen. */
async function enter(log, entry, after) {
  const place = await answer(log.add(entry));
  const own = { place, ...entry };
  return place === after + 1 ? [own] : entriesAfter(log, after);
}

async function entriesAfter(log, after) {
  const range = IDBKeyRange.lowerBound(after, true);
  const [places, entries] = await Promise.all([answer(log.getAllKeys(range)), answer(log.getAll(range))]);
  return entries.map((entry, at) => ({ place: places[at], ...entry }));
}

/** Takes blocks out of their records. Of those set aside, only the copies at the places given. */
async function dropAll(blocks, index, drops, aside, asidePlaces, entry) {
  const keys = [...drops, ...aside];
  const places = await answers(keys.map((key) => index.getKey(key)));
  const goners = new Map();
  keys.forEach((key, at) => {
    const place = places[at];
    const suspect = at - drops.length;
    if (place === undefined || (suspect >= 0 && asidePlaces[suspect] !== place)) return;
    if (!goners.has(place)) goners.set(place, []);
    goners.get(place).push({ key, suspect: suspect >= 0 });
  });
  for (const [place, gone] of goners) {
    const record = await answer(blocks.get(place));
    const kept = without(record, (key) => gone.some((goner) => same(key, goner.key)));
    const suspects = record.keys.filter((key) => gone.some((goner) => goner.suspect && same(key, goner.key)));
    entry.quarantined += suspects.length;
    entry.blocks -= record.keys.length - kept.keys.length;
    entry.bytes -= sum(record.lengths) - sum(kept.lengths);
    if (kept.keys.length === 0) blocks.delete(place);
    else blocks.put({ ...kept, place });
  }
}

function add(blocks, record, entry) {
  if (record.keys.length === 0) return;
  entry.blocks += record.keys.length;
  entry.bytes += sum(record.lengths);
  blocks.add(record);
}

/** Bytes of the Blobs made here and not yet collected. */
let uncollected = 0;
const collected = new FinalizationRegistry((bytes) => (uncollected -= bytes));

/** Records for these blocks, in their order, small and large ones apart. The views are copied. */
function packed(keys, views, blobs) {
  const places = views.map((_, at) => at);
  const small = places.filter((at) => views[at].length < LARGE_BYTES);
  const large = places.filter((at) => views[at].length >= LARGE_BYTES);
  const bytes = sum(large.map((at) => views[at].length));
  const inBlobs = blobs && uncollected + bytes <= MAX_BLOB_BYTES;
  const record = (join) => (group) => ({
    keys: group.map((at) => keys[at]),
    lengths: group.map((at) => views[at].length),
    value: join(group.map((at) => views[at])),
  });
  return [
    ...groups(small, views, LARGE_BYTES).map(record(joined)),
    ...groups(large, views, inBlobs ? BLOB_BYTES : LARGE_BYTES).map(record(inBlobs ? blob : joined)),
  ];
}

function blob(parts) {
  const made = new Blob(parts);
  uncollected += made.size;
  collected.register(made, made.size);
  return made;
}

/** Cuts a list of places into groups whose views have no more than `limit` bytes together. */
function groups(places, views, limit) {
  const all = [];
  let room = 0;
  for (const at of places) {
    room -= views[at].length + KEY_BYTES;
    if (all.length === 0 || room < 0 || all.at(-1).length === MAX_KEYS) {
      all.push([]);
      room = limit - views[at].length - KEY_BYTES;
    }
    all.at(-1).push(at);
  }
  return all;
}

/** A record without some of its blocks. */
function without(record, gone) {
  const offsets = starts(record);
  const kept = record.keys.map((_, part) => part).filter((part) => !gone(record.keys[part]));
  if (kept.length === record.keys.length) return record;
  const parts = kept.map((part) => {
    const { value } = record;
    return value instanceof Blob
      ? value.slice(offsets[part], offsets[part + 1])
      : value.subarray(offsets[part], offsets[part + 1]);
  });
  return {
    keys: kept.map((part) => record.keys[part]),
    lengths: kept.map((part) => record.lengths[part]),
    value: record.value instanceof Blob ? new Blob(parts) : joined(parts),
  };
}

function joined(parts) {
  const whole = new Uint8Array(sum(parts.map((part) => part.length)));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Where each block of a record begins in its value, and where the last ends. */
function starts({ lengths }) {
  let at = 0;
  return [0, ...lengths.map((length) => (at += length))];
}

async function slice(value, from, to) {
  if (!(value instanceof Blob)) return value.subarray(from, to);
  const part = to - from === value.size ? value : value.slice(from, to);
  return new Uint8Array(await part.arrayBuffer());
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

function position(record, key) {
  return record.keys.findIndex((other) => same(other, key));
}

/** A key of a Map. Binary keys come back from IndexedDB as ArrayBuffers. */
function text(key) {
  return String.fromCharCode(...new Uint8Array(key));
}

function same(one, other) {
  return indexedDB.cmp(one, other) === 0;
}

function begin(database, stores, mode, options) {
  if (database.outdated) throw failure('locked', 'a newer version of this package has opened it in another tab; reload');
  return database.transaction(stores, mode, options);
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** The same of many requests of one transaction, which end in their order: only the last is listened to. */
async function answers(requests) {
  if (requests.length > 0) await answer(requests.at(-1));
  return requests.map((request) => request.result);
}

function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? failure('io', 'the browser aborted the transaction'));
  });
}

function failure(code, message) {
  return Object.assign(new Error(message), { code });
}
