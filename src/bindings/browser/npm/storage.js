// A store in the habits of the web, over an engine that is here or in a worker. Types and documentation are in index.d.ts.

import { abortable, call } from './calls.js';
import { feed, inMemory, SLICE_BYTES, write } from './data.js';
import { InvalidArgumentError, CancelledError } from './errors.js';
import { Drain } from './drain.js';
import { filesOf } from './files.js';
import { treeOf } from './folders.js';
import { deferred, Gone } from './rpc.js';
import { storeTree } from './tree.js';

/** Roots, pins or keys asked for at a time by `files`, `pins` and `blockKeys`. */
const PAGE = 1000;

export class Storage {
  #engine;
  /** What ends calls of this engine. */
  #Cancel;
  #files;
  /** What does what is due for the backends, unless that is left to the caller. */
  #drain;
  /** Told of each delivery. */
  #deliveries = new Set();

  constructor({ engine, Cancel, drains = false }) {
    this.#engine = engine;
    this.#Cancel = Cancel;
    if (drains) this.#drain = new Drain(() => this.sync());
  }

  async store(data, { signal, onProgress, filename = data?.name, ...options } = {}) {
    signal?.throwIfAborted();
    const settings = { ...options, filename };
    const bytes = inMemory(data);
    if (bytes !== undefined && bytes.length <= SLICE_BYTES) {
      const stored = await this.#kicks(call(this.#open().store(bytes, settings)));
      onProgress?.({ done: stored.size, total: stored.size });
      return stored;
    }
    const writer = await call((async () => this.#open().writer(settings))());
    return this.#kicks(write(writer, data, { signal, onProgress }));
  }

  async storeTree(source, { signal, onProgress, hidden = false, ...options } = {}) {
    signal?.throwIfAborted();
    const { entries, filename } = treeOf(source, hidden); // at once: after its event a DataTransfer is empty
    const settings = { ...options, filename: options.filename ?? filename };
    const tree = await call((async () => this.#open().tree(settings))());
    return this.#kicks(storeTree(tree, entries, { signal, onProgress }));
  }

  async importCar(archive, { signal, onProgress, ...options } = {}) {
    signal?.throwIfAborted();
    const data = inMemory(archive) ?? archive;
    const importer = await call(this.#open().importCar(options));
    try {
      const done = importer.position;
      const total = data?.length ?? data?.size;
      await feed(importer, data, { signal, onProgress, total, done });
      return await this.#kicks(call(importer.finish()));
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
    const cancel = new this.#Cancel();
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
    return this.#kicks(call(this.#open().storeMany(pairs)));
  }

  async retrieve(path, options) {
    return this.#whole(path, options);
  }

  stream(path, options) {
    const cancel = new this.#Cancel();
    const source = this.#read(path, options, cancel);
    return new ReadableStream(
      {
        start: async (controller) => {
          const { value } = await source.next();
          if (value.piece.length > 0) controller.enqueue(value.piece);
        },
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

  async replicate(cid, policy = {}) {
    return this.#kicks(call(this.#open().replicate(text(cid), policy)));
  }

  async release(cid, { backend } = {}) {
    return this.#kicks(call(this.#open().release(text(cid), backend)));
  }

  async audit(cid) {
    return this.#kicks(call(this.#open().audit(cid === undefined ? undefined : text(cid))));
  }

  async replication(cid) {
    return call(this.#open().replication(text(cid)));
  }

  async replicas(cid) {
    return (await this.replication(cid)).replicas;
  }

  async listOutbox({ after, limit = PAGE } = {}) {
    return call(this.#open().listOutbox(after, limit));
  }

  async *outbox() {
    let after;
    do {
      const page = await this.listOutbox({ after });
      yield* page.deliveries;
      after = page.next;
    } while (after !== undefined);
  }

  async sync({ signal, wait = 0 } = {}) {
    const told = (...delivery) => {
      for (const listener of this.#deliveries) listener(...delivery);
    };
    return this.#cancellable(signal, (engine, cancel) => engine.sync(wait, told, cancel));
  }

  onDelivery(listener) {
    this.#deliveries.add(listener);
    return () => this.#deliveries.delete(listener);
  }

  /** After this there may be something to do for the backends. */
  async #kicks(promise) {
    const done = await promise;
    this.#drain?.kick();
    return done;
  }

  async putValue(value, { signal, ...options } = {}) {
    return this.#kicks(this.#cancellable(signal, (engine, cancel) => engine.putValue(value, options, cancel)));
  }

  async getValue(path, { signal, offline = false, link } = {}) {
    const asked = link && deferred(link);
    return this.#cancellable(signal, (engine, cancel) => engine.getValue(text(path), Boolean(offline), asked, cancel));
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
    const cancel = new this.#Cancel();
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
    const cancel = new this.#Cancel();
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
    this.#drain?.close();
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
    const cancel = new this.#Cancel();
    return abortable(call(start(this.#open(), cancel)), signal, cancel);
  }

  /** All pieces of a file in one. */
  async #whole(path, options, open) {
    let whole;
    for await (const { piece, done, total } of this.#read(path, options, undefined, open)) {
      if (piece.length === total) return piece; // it is its reader's own
      whole ??= new Uint8Array(total);
      whole.set(piece, done - piece.length);
    }
    return whole;
  }

  /**
   * The pieces of a file, and how far each reaches. The first says that the file is open, and may be empty. `open` opens one
   * of the mutable tree.
   */
  async *#read(path, options = {}, cancel = new this.#Cancel(), open = undefined) {
    const { signal, onProgress, onFetched, offset = 0, length, offline = false, pin = false } = options;
    signal?.throwIfAborted();
    for (const value of [offset, length ?? 0]) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new InvalidArgumentError(`offset and length are whole numbers from 0, not ${value}`, {
          code: 'invalid-argument',
        });
      }
    }
    const flags = { offline: Boolean(offline), pin: Boolean(pin) };
    const start = (wanted) => open?.(path, wanted, cancel) ?? this.#open().reader(text(path), wanted, onFetched, cancel);
    let total;
    let done = 0;
    let opening;
    let reading;
    const read = async () => {
      opening ??= call(start({ offset: offset + done, length: total === undefined ? length : total - done, ...flags }));
      const reader = await abortable(opening, signal, cancel);
      const opened = total === undefined;
      total ??= reader.length;
      if (reader instanceof Uint8Array) return reader; // it came at once
      if (opened) return new Uint8Array();
      reading = call(reader.next(cancel));
      return abortable(reading, signal, cancel);
    };
    try {
      while (total === undefined || done < total) {
        let piece;
        try {
          piece = await read();
        } catch (error) {
          // What a CID leads to is the same for whoever opens the store next.
          if (!(error instanceof Gone) || open || pin) throw error;
          opening = undefined;
          continue;
        }
        done += piece.length;
        if (piece.length > 0) onProgress?.({ done, total });
        yield { piece, done, total };
      }
    } finally {
      cancel.cancel();
      // A call under way borrows the reader until it has ended. The caller need not wait for that.
      Promise.allSettled([opening, reading]).then(([{ value: reader }]) => reader?.free?.());
    }
  }
}

/** A CID or path as text, whatever object it comes in: those of other IPFS libraries have a toString. */
function text(cid) {
  return String(cid);
}
