// The package: the engine in the habits of the web. Types and documentation are in index.d.ts.

import init, { Engine } from './ipfs_kit_storage.js';
import { asError, InvalidArgumentError, CancelledError } from './errors.js';

export * from './errors.js';

/** Read from a File or Blob at a time: large reads are several times faster than small ones. */
const SLICE_BYTES = 8 * 1024 * 1024;
/** Roots asked for at a time by `files`. */
const PAGE = 1000;

let loading;

export async function openStorage({ name = 'ipfs-kit-storage', module, ...options } = {}) {
  const disabled = isSet(globalThis.IPFS_KIT_DISABLE);
  // One that failed to load, offline perhaps, may load the next time.
  loading ??= init(module === undefined ? undefined : { module_or_path: module }).catch((error) => {
    loading = undefined;
    throw error;
  });
  await loading;
  return new Storage(await call(Engine.open(name, { ...options, disabled })));
}

let shared;

export function getStorage(options) {
  shared ??= openStorage(options).catch((error) => {
    shared = undefined;
    throw error;
  });
  return shared;
}

export async function resetStorage() {
  const storage = shared;
  shared = undefined;
  await storage?.then((open) => open.close(), () => {});
}

export class Storage {
  #engine;

  constructor(engine) {
    this.#engine = engine;
  }

  async store(data, { signal, onProgress, filename = data?.name, ...options } = {}) {
    signal?.throwIfAborted();
    const settings = { ...options, filename };
    const bytes = inMemory(data);
    if (bytes !== undefined && bytes.length <= SLICE_BYTES) {
      const stored = await call(this.#open().store(bytes, settings));
      onProgress?.({ done: stored.size, total: stored.size });
      return stored;
    }
    const total = bytes?.length ?? data?.size;
    let writer;
    try {
      writer = this.#open().writer(settings);
    } catch (error) {
      throw asError(error);
    }
    try {
      let done = 0;
      for await (const piece of ahead(pieces(bytes ?? data, signal))) {
        await abortable(call(writer.write(piece)), signal);
        done += piece.length;
        onProgress?.({ done, total });
      }
      signal?.throwIfAborted();
      return await call(writer.finish());
    } catch (error) {
      await writer.abort();
      throw error;
    } finally {
      writer.free();
    }
  }

  async storeMany(files, { signal } = {}) {
    const pairs = [];
    for (const { data, filename = data?.name, ...options } of files) {
      signal?.throwIfAborted();
      const bytes = inMemory(data) ?? new Uint8Array(await new Response(data).arrayBuffer());
      pairs.push([bytes, { ...options, filename }]);
    }
    signal?.throwIfAborted();
    return call(this.#open().storeMany(pairs));
  }

  async retrieve(cid, { signal, onProgress, offset = 0, length } = {}) {
    const reader = await this.#reader(cid, offset, length, signal);
    try {
      const whole = new Uint8Array(reader.length);
      let done = 0;
      while (done < whole.length) {
        const piece = await abortable(call(reader.next()), signal);
        if (piece === undefined) break;
        whole.set(piece, done);
        done += piece.length;
        onProgress?.({ done, total: whole.length });
      }
      return whole;
    } finally {
      reader.free();
    }
  }

  stream(cid, { signal, onProgress, offset = 0, length } = {}) {
    let reader;
    let done = 0;
    return new ReadableStream(
      {
        start: async () => {
          reader = await this.#reader(cid, offset, length, signal);
        },
        pull: async (controller) => {
          const piece = await abortable(call(reader.next()), signal);
          if (piece === undefined) {
            reader.free();
            controller.close();
            return;
          }
          done += piece.length;
          onProgress?.({ done, total: reader.length });
          controller.enqueue(piece);
        },
        cancel: () => reader?.free(),
      },
      { highWaterMark: 0 },
    );
  }

  async stat(cid) {
    return call(this.#open().stat(text(cid)));
  }

  async listFiles(path = '/', { after, limit = PAGE } = {}) {
    return call(this.#open().listFiles(path, after, limit));
  }

  async *files(path = '/') {
    let after;
    do {
      const page = await this.listFiles(path, { after });
      yield* page.files;
      after = page.next;
    } while (after !== undefined);
  }

  async exists(cid) {
    return call(this.#open().exists(text(cid)));
  }

  async delete(cid) {
    return call(this.#open().delete(text(cid)));
  }

  async pin(cid) {
    return call(this.#open().pin(text(cid)));
  }

  async unpin(cid) {
    return call(this.#open().unpin(text(cid)));
  }

  async backendStatus() {
    return call(this.#open().backendStatus());
  }

  isAvailable() {
    return this.#open().isAvailable();
  }

  async configureCache(config) {
    return call((async () => this.#open().configureCache(config))());
  }

  async flush() {
    return call(this.#open().flush());
  }

  close() {
    this.#engine?.close();
    this.#engine = undefined;
  }

  #open() {
    if (this.#engine === undefined) throw new CancelledError('this storage was closed', { code: 'cancelled' });
    return this.#engine;
  }

  async #reader(cid, offset, length, signal) {
    signal?.throwIfAborted();
    for (const value of [offset, length ?? 0]) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new InvalidArgumentError(`offset and length are whole numbers from 0, not ${value}`, {
          code: 'invalid-argument',
        });
      }
    }
    return abortable(call(this.#open().reader(text(cid), offset, length)), signal);
  }
}

/** A CID as text, whatever object it comes in: those of other IPFS libraries have a toString. */
function text(cid) {
  return String(cid);
}

function isSet(value) {
  return ['1', 'true', 'yes'].includes(String(value).toLowerCase());
}

async function call(promise) {
  try {
    return await promise;
  } catch (error) {
    throw asError(error);
  }
}

/** Settles as the promise does, or rejects as soon as the signal aborts. */
function abortable(promise, signal) {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** The bytes of what is in memory; undefined for what is to be read. */
function inMemory(data) {
  if (typeof data === 'string') return new TextEncoder().encode(data);
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return undefined;
}

/** What is to be stored, piece by piece. */
async function* pieces(data, signal) {
  if (data instanceof Uint8Array) {
    for (let at = 0; at < data.length; at += SLICE_BYTES) yield data.subarray(at, at + SLICE_BYTES);
  } else if (data instanceof Blob) {
    for (let at = 0; at < data.size; at += SLICE_BYTES) {
      yield new Uint8Array(await data.slice(at, at + SLICE_BYTES).arrayBuffer());
    }
  } else if (data instanceof ReadableStream) {
    const reader = data.getReader();
    try {
      for (;;) {
        const { done, value } = await abortable(reader.read(), signal);
        if (done) return;
        yield asPiece(value);
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  } else if (data?.[Symbol.asyncIterator] ?? data?.[Symbol.iterator]) {
    for await (const piece of data) yield asPiece(piece);
  } else {
    throw new InvalidArgumentError(
      'store takes a string, Uint8Array, ArrayBuffer, Blob, File, ReadableStream or an iterable of bytes',
      { code: 'invalid-argument' },
    );
  }
}

function asPiece(value) {
  const bytes = inMemory(value);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('the stream gave something that is not bytes', { code: 'invalid-argument' });
}

/** The same pieces, each asked for while the one before it is being used. */
async function* ahead(source) {
  let next = source.next();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      next = source.next();
      next.catch(() => {}); // seen when it is awaited
      yield value;
    }
  } finally {
    source.return?.().catch(() => {});
  }
}
