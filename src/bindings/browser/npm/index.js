// The package: the engine in the habits of the web. Types and documentation are in index.d.ts.

import init, { Cancel, Engine } from './ipfs_kit_storage.js';
import { asError, InvalidArgumentError, CancelledError } from './errors.js';
import { filesOf } from './files.js';

export * from './errors.js';

/** Read from a File or Blob at a time: large reads are several times faster than small ones. */
const SLICE_BYTES = 8 * 1024 * 1024;
/** Roots, pins or keys asked for at a time by `files`, `pins` and `blockKeys`. */
const PAGE = 1000;

let loading;

export async function openStorage({ name = 'ipfs-kit-storage', module, remotes = [], ...options } = {}) {
  const disabled = isSet(globalThis.IPFS_KIT_DISABLE);
  // One that failed to load, offline perhaps, may load the next time.
  loading ??= init(module === undefined ? undefined : { module_or_path: module }).catch((error) => {
    loading = undefined;
    throw error;
  });
  await loading;
  return new Storage(await call(Engine.open(name, { ...options, disabled }, [...remotes])));
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
  #files;

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
    let writer;
    try {
      writer = this.#open().writer(settings);
    } catch (error) {
      throw asError(error);
    }
    return write(writer, data, { signal, onProgress });
  }

  async importCar(archive, { signal, onProgress, ...options } = {}) {
    signal?.throwIfAborted();
    const data = inMemory(archive) ?? archive;
    const importer = await call(this.#open().importCar(options));
    try {
      const done = importer.position;
      const total = data?.length ?? data?.size;
      await feed(importer, pieces(data, signal, done), { signal, onProgress, total, done });
      return await call(importer.finish());
    } catch (error) {
      await importer.close(); // what can be resumed stays
      throw error;
    } finally {
      importer.free();
    }
  }

  async forgetCarImport(resume) {
    const importer = await call(this.#open().importCar({ resume }));
    await call(importer.abort()).finally(() => importer.free());
  }

  exportCar(paths, { signal, ...options } = {}) {
    const cancel = new Cancel();
    const wanted = Array.isArray(paths) ? paths.map(text) : [text(paths)];
    let opening;
    let reading;
    const end = () => {
      cancel.cancel();
      // A call under way borrows the exporter until it has ended.
      Promise.allSettled([opening, reading]).then(([{ value: exporter }]) => exporter?.free());
    };
    return new ReadableStream(
      {
        start: async () => {
          signal?.throwIfAborted();
          opening = call(this.#open().exportCar(wanted, options, cancel));
          await abortable(opening, signal, cancel);
        },
        pull: async (controller) => {
          try {
            reading = call((await opening).next(cancel));
            const piece = await abortable(reading, signal, cancel);
            if (piece !== undefined) return controller.enqueue(piece);
            controller.close();
          } catch (error) {
            end();
            throw error;
          }
          end();
        },
        cancel: end,
      },
      { highWaterMark: 0 },
    );
  }

  async storeMany(files, { signal } = {}) {
    const pairs = [];
    for (const { data, filename = data?.name, ...options } of files) {
      signal?.throwIfAborted();
      const bytes = inMemory(data) ?? new Uint8Array(await abortable(new Response(data).arrayBuffer(), signal));
      pairs.push([bytes, { ...options, filename }]);
    }
    signal?.throwIfAborted();
    return call(this.#open().storeMany(pairs));
  }

  async retrieve(path, options) {
    return this.#whole(path, options);
  }

  stream(path, options) {
    const cancel = new Cancel();
    const source = this.#read(path, options, cancel);
    return new ReadableStream(
      {
        start: () => source.next(),
        pull: async (controller) => {
          const { done, value } = await source.next();
          if (done) controller.close();
          else controller.enqueue(value.piece);
        },
        cancel: () => {
          cancel.cancel();
          source.return().catch(() => {});
        },
      },
      { highWaterMark: 0 },
    );
  }

  async stat(path, { offline = false } = {}) {
    return call(this.#open().stat(text(path), Boolean(offline)));
  }

  async listFiles(path = '/', { after, limit = PAGE, offline = false } = {}) {
    return call(this.#open().listFiles(text(path), after, limit, Boolean(offline)));
  }

  /** The verbs of the mutable tree. */
  get files() {
    this.#files ??= filesOf({
      open: () => this.#open(),
      read: (path, options) => this.#whole(path, options, (...given) => this.#open().filesReader(...given)),
      call,
      write,
      inMemory,
    });
    return this.#files;
  }

  async *ls(path = '/', { offline = false } = {}) {
    let after;
    do {
      const page = await this.listFiles(path, { after, offline });
      yield* page.files;
      after = page.next;
    } while (after !== undefined);
  }

  async exists(cid) {
    return call(this.#open().exists(text(cid)));
  }

  async delete(cid, { force = false } = {}) {
    return call(this.#open().delete(text(cid), Boolean(force)));
  }

  async pin(cid, { signal, onFetched, expires, ...options } = {}) {
    const wanted = { ...options, expires: expires?.valueOf() }; // a Date's value is in milliseconds
    return this.#cancellable(signal, (engine, cancel) => engine.pin(text(cid), wanted, onFetched, cancel));
  }

  async listPins({ after, limit = PAGE } = {}) {
    return call(this.#open().listPins(after, limit));
  }

  async *pins() {
    let after;
    do {
      const page = await this.listPins({ after });
      yield* page.pins;
      after = page.next;
    } while (after !== undefined);
  }

  async setName(name, cid, { expect } = {}) {
    return call(this.#open().setName(name, text(cid), expect == null ? expect : text(expect)));
  }

  async getName(name) {
    return call(this.#open().getName(name));
  }

  async removeName(name, { expect } = {}) {
    return call(this.#open().removeName(name, expect == null ? expect : text(expect)));
  }

  async listNames({ prefix = '', after, limit = PAGE } = {}) {
    return call(this.#open().listNames(prefix, after, limit));
  }

  async *names(prefix = '') {
    let after;
    do {
      const page = await this.listNames({ prefix, after });
      yield* page.names;
      after = page.next;
    } while (after !== undefined);
  }

  async unpin(cid) {
    return call(this.#open().unpin(text(cid)));
  }

  async push(cid, remote, { signal, onPushed, pin = false } = {}) {
    const start = (engine, cancel) => engine.push(text(cid), String(remote?.name ?? remote), Boolean(pin), onPushed, cancel);
    return this.#cancellable(signal, start);
  }

  async putValue(value, { signal, ...options } = {}) {
    return this.#cancellable(signal, (engine, cancel) => engine.putValue(value, options, cancel));
  }

  async getValue(path, { signal, offline = false, link } = {}) {
    return this.#cancellable(signal, (engine, cancel) => engine.getValue(text(path), Boolean(offline), link, cancel));
  }

  async putBlocks(blocks, { signal } = {}) {
    signal?.throwIfAborted();
    const all = [...blocks];
    const cids = all.map(({ cid }) => text(cid));
    return abortable(call(this.#open().putBlocks(cids, all.map(({ bytes }) => bytes))), signal);
  }

  async getBlock(cid, { signal, offline = false } = {}) {
    return this.#cancellable(signal, (engine, cancel) => engine.getBlock(text(cid), Boolean(offline), cancel));
  }

  async deleteBlocks(cids, { signal } = {}) {
    signal?.throwIfAborted();
    return abortable(call(this.#open().deleteBlocks(Array.from(cids, text))), signal);
  }

  async *blockKeys() {
    let after;
    for (;;) {
      const page = await call(this.#open().blockKeys(after, PAGE));
      if (page.length === 0) return;
      after = page.at(-1);
      yield* page;
    }
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

  async persist() {
    this.#open();
    const { storage } = navigator;
    return (await (storage?.persist ? storage.persist() : storage?.persisted())) ?? false;
  }

  async flush() {
    return call(this.#open().flush());
  }

  async collect({ signal, onProgress, dryRun = false } = {}) {
    signal?.throwIfAborted();
    const cancel = new Cancel();
    const collection = await call((async () => this.#open().collection(dryRun))());
    try {
      for (;;) {
        const progress = await abortable(call(collection.step(cancel)), signal, cancel);
        if (progress === undefined) return await call(collection.report());
        onProgress?.(progress);
      }
    } finally {
      collection.free();
    }
  }

  onEvicted(listener) {
    this.#open().onEvicted(listener);
  }

  async verify({ signal, onProgress, ...options } = {}) {
    signal?.throwIfAborted();
    const cancel = new Cancel();
    const check = await call((async () => this.#open().check(options))());
    try {
      for (;;) {
        const progress = await abortable(call(check.step(cancel)), signal, cancel);
        if (progress === undefined) return await call(check.report());
        onProgress?.(progress);
      }
    } finally {
      check.free();
    }
  }

  close() {
    this.#engine?.close();
    this.#engine = undefined;
  }

  #open() {
    if (this.#engine === undefined) throw new CancelledError('this storage was closed', { code: 'cancelled' });
    return this.#engine;
  }

  /** A call of the engine, which ends, and all that it has under way, when the signal aborts. */
  async #cancellable(signal, start) {
    signal?.throwIfAborted();
    const cancel = new Cancel();
    return abortable(call(start(this.#open(), cancel)), signal, cancel);
  }

  /** All pieces of a file in one. */
  async #whole(path, options, open) {
    let whole;
    for await (const { piece, done, total } of this.#read(path, options, undefined, open)) {
      whole ??= new Uint8Array(total);
      whole.set(piece, done - piece.length);
    }
    return whole;
  }

  /**
   * The pieces of a file, and how far each reaches. The first is empty, and says that the file is open. `open` opens one of
   * the mutable tree.
   */
  async *#read(path, options = {}, cancel = new Cancel(), open = undefined) {
    const { signal, onProgress, onFetched, offset = 0, length, offline = false, pin = false } = options;
    signal?.throwIfAborted();
    for (const value of [offset, length ?? 0]) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new InvalidArgumentError(`offset and length are whole numbers from 0, not ${value}`, {
          code: 'invalid-argument',
        });
      }
    }
    const wanted = { offset, length, offline: Boolean(offline), pin: Boolean(pin) };
    const start = () => open?.(path, wanted, cancel) ?? this.#open().reader(text(path), wanted, onFetched, cancel);
    const opening = call(start());
    let reading;
    try {
      const reader = await abortable(opening, signal, cancel);
      const total = reader.length;
      let done = 0;
      yield { piece: new Uint8Array(), done, total };
      while (done < total) {
        reading = call(reader.next(cancel));
        const piece = await abortable(reading, signal, cancel);
        done += piece.length;
        onProgress?.({ done, total });
        yield { piece, done, total };
      }
    } finally {
      cancel.cancel();
      // A call under way borrows the reader until it has ended. The caller need not wait for that.
      Promise.allSettled([opening, reading]).then(([{ value: reader }]) => reader?.free());
    }
  }
}

/** A CID or path as text, whatever object it comes in: those of other IPFS libraries have a toString. */
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

/** Settles as the promise (or value) does, or rejects as soon as the signal aborts, and cancels what it waits for. */
function abortable(promise, signal, cancel) {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      cancel?.cancel();
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    Promise.resolve(promise).then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Writes all pieces of what is to be stored, and ends it; gives up when that fails. */
async function write(writer, data, { signal, onProgress }) {
  const bytes = inMemory(data);
  const total = bytes?.length ?? data?.size;
  const source = pieces(bytes ?? data, signal);
  try {
    let done = 0;
    let next = source.next();
    for (;;) {
      const { done: ended, value: piece } = await next;
      if (ended) break;
      const { length } = piece;
      const writing = call(writer.write(piece)); // has its copy: the source may reuse the memory for the next
      next = source.next();
      next.catch(() => {}); // seen when it is awaited
      await abortable(writing, signal);
      done += length;
      onProgress?.({ done, total });
    }
    signal?.throwIfAborted();
    return await call(writer.finish());
  } catch (error) {
    await writer.abort(); // after a write under way, if any: then nothing borrows the writer
    throw error;
  } finally {
    source.return().catch(() => {});
    writer.free();
  }
}

/** The bytes of what is in memory; undefined for what is to be read. */
function inMemory(data) {
  if (typeof data === 'string') return new TextEncoder().encode(data);
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return undefined;
}

/** Has a writer take what a source gives: while it takes a piece, the next one is read. */
async function feed(writer, source, { signal, onProgress, total, done = 0 }) {
  try {
    let next = source.next();
    for (;;) {
      const { done: ended, value: piece } = await next;
      if (ended) break;
      const { length } = piece;
      const writing = call(writer.write(piece)); // has its copy: the source may reuse the memory for the next
      next = source.next();
      next.catch(() => {}); // seen when it is awaited
      await abortable(writing, signal);
      done += length;
      onProgress?.({ done, total });
    }
    signal?.throwIfAborted();
  } finally {
    source.return().catch(() => {});
  }
}

/** What is to be stored, piece by piece, without so many bytes at its beginning. */
async function* pieces(data, signal, skip = 0) {
  if (skip > 0 && (data instanceof Uint8Array || data instanceof Blob)) {
    yield* pieces(data instanceof Blob ? data.slice(skip) : data.subarray(skip), signal);
    return;
  }
  if (skip > 0) {
    for await (const piece of pieces(data, signal)) {
      if (piece.length > skip) yield piece.subarray(skip);
      skip = Math.max(0, skip - piece.length);
    }
    return;
  }
  if (data instanceof Uint8Array) {
    for (let at = 0; at < data.length; at += SLICE_BYTES) yield data.subarray(at, at + SLICE_BYTES);
  } else if (data instanceof Blob) {
    for (let at = 0; at < data.size; at += SLICE_BYTES) {
      yield new Uint8Array(await abortable(data.slice(at, at + SLICE_BYTES).arrayBuffer(), signal));
    }
  } else if (data instanceof ReadableStream || data?.[Symbol.asyncIterator]) {
    const source = iterator(data);
    try {
      for (;;) {
        const { done, value } = await abortable(source.next(), signal);
        if (done) return;
        yield asPiece(value);
      }
    } finally {
      // Not awaited: a generator that stalls does not answer.
      (async () => source.return?.())().catch(() => {});
    }
  } else if (data?.[Symbol.iterator]) {
    for await (const piece of data) yield asPiece(piece);
  } else {
    throw new InvalidArgumentError(
      'this takes a string, Uint8Array, ArrayBuffer, Blob, File, ReadableStream or an iterable of bytes',
      { code: 'invalid-argument' },
    );
  }
}

/** Not every browser iterates over streams, and none would cancel one while a read of it is under way. */
function iterator(data) {
  if (!(data instanceof ReadableStream)) return data[Symbol.asyncIterator]();
  const reader = data.getReader();
  return { next: () => reader.read(), return: () => reader.cancel() };
}

function asPiece(value) {
  const bytes = inMemory(value);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('the stream gave something that is not bytes', { code: 'invalid-argument' });
}
