// Helia and this package, both ways: a Helia node as a remote, and a storage as the blockstore of a Helia node. Types and
// documentation are in helia.d.ts. It needs `multiformats`, which every Helia application has.

import { CID } from 'multiformats/cid';
import { decode } from 'multiformats/hashes/digest';
import { NotFoundError } from './errors.js';

/** The largest block that is taken from anywhere. */
const MAX_BLOCK_BYTES = 2 * 1024 * 1024;
/** Blocks are put together up to so many bytes, and so many of them. */
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCH_BLOCKS = 256;

const RAW = 0x55;
/** The codecs that the engine has names for: raw, dag-pb, dag-cbor, dag-json. */
const KNOWN = [RAW, 0x70, 0x71, 0x0129];

/** The empty raw block: everybody can say whether they have it. */
const EMPTY = CID.parse('bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku');

/** What a Helia node throws when neither it nor anybody it can ask has a block. */
const MISSING = ['NotFoundError', 'BlockNotFoundWhileOfflineError', 'LoadBlockFailedError', 'InvalidConfigurationError'];

export function helia(node, { name = 'helia' } = {}) {
  const store = node.blockstore ?? node;
  const started = () => {
    if ('status' in node && node.status !== 'started') throw new Error(`the Helia node is ${node.status}`);
  };
  return {
    name,
    kind: 'helia',
    async get(cid, options) {
      started();
      try {
        return await bytesOf(store.get(CID.parse(cid), options));
      } catch (error) {
        if (MISSING.includes(error?.name)) return undefined;
        throw error;
      }
    },
    async put(cid, bytes, options) {
      started();
      await store.put(CID.parse(cid), bytes, options);
    },
    async probe(options) {
      started();
      await store.has(EMPTY, options);
    },
  };
}

export function blockstore(storage) {
  return new StorageBlockstore(storage);
}

/** The codes of errors that say that a block is not to be had; one by a hash that the engine does not know never is. */
const NOT_TO_BE_HAD = ['not-available-offline', 'unavailable', 'invalid-cid'];

class StorageBlockstore {
  #storage;

  constructor(storage) {
    this.#storage = storage;
  }

  async has(cid, { signal } = {}) {
    signal?.throwIfAborted();
    try {
      return await this.#storage.exists(name(cid));
    } catch (error) {
      if (error?.code === 'invalid-cid') return false;
      throw error;
    }
  }

  async put(cid, value, { signal } = {}) {
    signal?.throwIfAborted();
    await this.#storage.putBlocks([{ cid: name(cid), bytes: await bytesOf(value) }], { signal });
    return cid;
  }

  async *putMany(source, { signal } = {}) {
    signal?.throwIfAborted();
    for await (const batch of batches(source, ({ bytes }) => bytes)) {
      const blocks = batch.map(({ item, bytes }) => ({ cid: name(item.cid), bytes }));
      await this.#storage.putBlocks(blocks, { signal });
      for (const { item } of batch) yield item.cid;
    }
  }

  async *get(cid, { signal, offline } = {}) {
    signal?.throwIfAborted();
    let bytes;
    try {
      bytes = await this.#storage.getBlock(name(cid), { signal, offline });
    } catch (error) {
      if (!NOT_TO_BE_HAD.includes(error?.code)) throw error;
      throw new NotFoundError(error.message, { code: 'not-found', cid: String(cid), cause: error });
    }
    yield bytes;
  }

  async *getMany(source, options) {
    options?.signal?.throwIfAborted();
    for await (const cid of source) yield { cid, bytes: this.get(cid, options) };
  }

  async *getAll({ signal } = {}) {
    signal?.throwIfAborted();
    for await (const key of this.#storage.blockKeys()) {
      signal?.throwIfAborted();
      // The store knows multihashes, and not by which codec they were named.
      const cid = CID.createV1(RAW, decode(key));
      yield { cid, bytes: this.get(cid, { signal, offline: true }) };
    }
  }

  async delete(cid, { signal } = {}) {
    signal?.throwIfAborted();
    await this.#storage.deleteBlocks([name(cid)], { signal });
  }

  async *deleteMany(source, { signal } = {}) {
    signal?.throwIfAborted();
    for await (const batch of batches(source)) {
      await this.#storage.deleteBlocks(batch.map(({ item }) => name(item)), { signal });
      for (const { item } of batch) yield item;
    }
  }
}

/** The text of a CID for the engine. Its codec says nothing about where a block lies, so one unknown there is raw. */
function name(cid) {
  return (KNOWN.includes(cid.code) ? cid : CID.createV1(RAW, cid.multihash)).toString();
}

/** Items in groups, each with the bytes that it comes with, if it does. */
async function* batches(source, bytesIn) {
  let batch = [];
  let room = BATCH_BYTES;
  for await (const item of source) {
    const bytes = bytesIn && (await bytesOf(bytesIn(item)));
    batch.push({ item, bytes });
    room -= bytes?.length ?? 0;
    if (room <= 0 || batch.length === BATCH_BLOCKS) {
      yield batch;
      batch = [];
      room = BATCH_BYTES;
    }
  }
  if (batch.length > 0) yield batch;
}

/** The bytes of a block, given as such or in pieces, now or later. */
async function bytesOf(given) {
  const value = await given;
  if (value === undefined || value === null || value instanceof Uint8Array) return value ?? undefined;
  const parts = [];
  let length = 0;
  for await (const part of value) {
    parts.push(part);
    length += part.length;
    if (length > MAX_BLOCK_BYTES) throw new RangeError(`a block of more than ${MAX_BLOCK_BYTES} bytes`);
  }
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
