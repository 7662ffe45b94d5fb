// IndexedDB in the terms of the tier above it: one call a transaction. The layout is drawn in docs/design.md.
//
//   blocks  autoIncrement → { keys: [multihash...], value }, index `keys` (multiEntry)
//           value: a Blob with one block of PACK_BYTES or more, or a Uint8Array with several smaller ones, packed
//   log     autoIncrement → { record: Uint8Array | undefined, whole: boolean, blocks, bytes, quarantined }
//           one entry a commit: what it says of roots and pins, and by how much it changes the figures

/** Blocks below this size are packed together; values from 64 KiB on cost a file of their own in Chromium. */
const PACK_BYTES = 56 * 1024;

/** The schema, step by step: a database of version n has gone through the first n. Steps are only ever added. */
export const STEPS = [
  (database) => {
    const blocks = database.createObjectStore('blocks', { autoIncrement: true });
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
      // A newer version in another tab may upgrade it; every call here then fails, and says why.
      database.onversionchange = () => {
        database.outdated = true;
        database.close();
      };
      resolve(database);
    };
  });
}

export function closeDatabase(database) {
  database.close();
}

/** The bytes under each key, or undefined. */
export async function readBlocks(database, keys) {
  const index = begin(database, ['blocks'], 'readonly').objectStore('blocks').index('keys');
  const records = await Promise.all(keys.map((key) => answer(index.get(key))));
  // Blobs are read after the transaction: to wait for them inside would end it.
  return Promise.all(records.map((record, at) => record && valueOf(record, keys[at])));
}

/** Whether each key is there. */
export async function hasBlocks(database, keys) {
  const index = begin(database, ['blocks'], 'readonly').objectStore('blocks').index('keys');
  const found = await Promise.all(keys.map((key) => answer(index.getKey(key))));
  return Uint8Array.from(found, (key) => Number(key !== undefined));
}

/** The log entries after a place in it. */
export async function readLog(database, after) {
  return entriesAfter(begin(database, ['log'], 'readonly').objectStore('log'), after);
}

/** Replaces the log up to a place by one entry that says the same, unless somebody has written since. */
export async function compactLog(database, upTo, entry) {
  const transaction = begin(database, ['log'], 'readwrite');
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
 * pairs of start and length in the memory, one for each key. Gives the log's entries after a place, the new one last.
 */
export async function writeCommit(database, memory, keys, spans, drops, aside, record, strict, after) {
  // The memory may grow, and its contents go, as soon as this function first waits.
  const values = keys.map((_, at) => {
    const view = new Uint8Array(memory.buffer, spans[2 * at], spans[2 * at + 1]);
    return view.length < PACK_BYTES ? view.slice() : new Blob([view]);
  });
  const options = { durability: strict ? 'strict' : 'relaxed' };
  const transaction = begin(database, ['blocks', 'log'], 'readwrite', options);
  const done = committed(transaction);
  done.catch(() => {}); // reported below, where it is awaited
  const entry = { record, whole: false, blocks: 0, bytes: 0, quarantined: aside.length };
  let entries = [];
  try {
    const blocks = transaction.objectStore('blocks');
    const index = blocks.index('keys');
    for (const key of [...drops, ...aside]) await drop(blocks, index, key, entry);
    const present = await Promise.all(keys.map((key) => answer(index.getKey(key))));
    const pack = new Pack(blocks);
    keys.forEach((key, at) => {
      if (present[at] !== undefined) return;
      const value = values[at];
      entry.blocks += 1;
      entry.bytes += value.length ?? value.size;
      if (value instanceof Blob) blocks.add({ keys: [key], value });
      else pack.add(key, value);
    });
    pack.write();
    // A strict commit always writes something, so that the browser has something to sync: that is how to flush.
    const changes = record !== undefined || entry.blocks !== 0 || entry.quarantined !== 0;
    if (changes || strict) entries = await enter(transaction.objectStore('log'), entry, after);
    transaction.commit();
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      // It has ended already, which is why the call above failed.
    }
    throw transaction.error ?? error;
  }
  await done;
  return entries;
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

/** Takes a key's block out of its record. */
async function drop(blocks, index, key, entry) {
  const [place, record] = await Promise.all([answer(index.getKey(key)), answer(index.get(key))]);
  if (record === undefined) return;
  entry.blocks -= 1;
  if (record.value instanceof Blob) {
    entry.bytes -= record.value.size;
    blocks.delete(place);
    return;
  }
  const parts = unpack(record);
  entry.bytes -= parts[position(record, key)].length;
  const kept = record.keys.map((other, at) => [other, parts[at]]).filter(([other]) => !same(other, key));
  if (kept.length === 0) blocks.delete(place);
  else blocks.put({ keys: kept.map(([other]) => other), value: packed(kept.map(([, part]) => part)) }, place);
}

/** Small blocks on their way into records of at most PACK_BYTES. */
class Pack {
  #blocks;
  #keys = [];
  #parts = [];
  #bytes = 0;

  constructor(blocks) {
    this.#blocks = blocks;
  }

  add(key, part) {
    if (this.#bytes + part.length > PACK_BYTES) this.write();
    this.#keys.push(key);
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  write() {
    if (this.#keys.length > 0) this.#blocks.add({ keys: this.#keys, value: packed(this.#parts) });
    this.#keys = [];
    this.#parts = [];
    this.#bytes = 0;
  }
}

/** A pack's value: the length of each part (32-bit, little endian), then the parts. */
function packed(parts) {
  const head = 4 * parts.length;
  const value = new Uint8Array(parts.reduce((sum, part) => sum + part.length, head));
  const lengths = new DataView(value.buffer);
  let at = head;
  parts.forEach((part, number) => {
    lengths.setUint32(4 * number, part.length, true);
    value.set(part, at);
    at += part.length;
  });
  return value;
}

function unpack({ keys, value }) {
  const lengths = new DataView(value.buffer, value.byteOffset, value.byteLength);
  let at = 4 * keys.length;
  return keys.map((_, number) => value.subarray(at, (at += lengths.getUint32(4 * number, true))));
}

async function valueOf(record, key) {
  if (record.value instanceof Blob) return new Uint8Array(await record.value.arrayBuffer());
  return unpack(record)[position(record, key)];
}

function position(record, key) {
  return record.keys.findIndex((other) => same(other, key));
}

/** Binary keys come back as ArrayBuffers. */
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

function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? failure('io', 'the browser aborted the transaction'));
  });
}

function failure(code, message) {
  return Object.assign(new Error(message), { code });
}
