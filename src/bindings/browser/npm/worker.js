// The dedicated worker of a page. It has stores open in OPFS, for this page and for whoever else finds them open: of each store
// there is one owner at a time. A worker waits for its turn as long as its page has a client of the store.

import { call } from './calls.js';
import { feed } from './data.js';
import { Cancel, CarImport, Engine, load, FileWriter, Pack, Tree, Writer } from './engine.js';
import { asError, UnsupportedError } from './errors.js';
import { clientChannel, clientLock, commonChannel, hold, holdPlace, holdSoon, ownerLock, placeLock } from './names.js';
import { exists, openFolder, removeFolder } from './opfs.js';
import { Endpoint } from './rpc.js';

const id = crypto.randomUUID();
const stores = new Map();

function store(name) {
  if (!stores.has(name)) stores.set(name, new Store(name));
  return stores.get(name);
}

// What the page asks of this worker.
new Endpoint(self, {
  root: {
    /** Settles when this worker is the owner of the store, or has found out that there can be none: with the tier's kind. */
    own: (name, module) => store(name).own(module),
    /** Has a client of the page at the other end of a port. */
    serve: (name, port) => store(name).serve(port),
    /** The page has one client less that asked to `own`. */
    leave: (name) => store(name).leave(),
    /** Moves a store, if it is in OPFS, to its database. */
    giveBack,
  },
});
postMessage(id); // it has started

for (const Taker of [Writer, FileWriter, Tree, CarImport]) {
  Taker.prototype.feed = function (blob, options) {
    return feed({ write: (piece) => this.write(piece) }, blob, options);
  };
}

for (const method of ['reader', 'filesReader']) {
  const open = Engine.prototype[method];
  Engine.prototype[method] = async function (...args) {
    const opened = await open.apply(this, args);
    return opened instanceof Uint8Array ? opened : new Ahead(opened);
  };
}

/** A reader that has the next piece ready. */
class Ahead {
  #reader;
  #cancel = new Cancel();
  #next;
  #rest;

  constructor(reader) {
    this.#reader = reader;
    this.length = this.#rest = reader.length;
  }

  async next() {
    const piece = await (this.#next ?? this.#read());
    this.#rest -= piece?.length ?? 0;
    this.#next = this.#rest > 0 ? this.#read() : undefined;
    return piece;
  }

  #read() {
    const reading = this.#reader.next(this.#cancel);
    reading.catch(() => {}); // seen when it is awaited
    return reading;
  }

  free() {
    this.#cancel.cancel();
    this.#reader.free();
  }
}

class Store {
  #name;
  /** Clients of the page. */
  #wanted = 0;
  #owning;
  #waiting;
  #pack;
  #channel;
  #sessions = new Set();

  constructor(name) {
    this.#name = name;
  }

  own(module) {
    this.#wanted += 1;
    this.#owning ??= this.#become(module).catch((error) => {
      this.#owning = undefined;
      throw error;
    });
    return this.#owning;
  }

  leave() {
    this.#wanted -= 1;
    this.#settle();
  }

  async #become(module) {
    if (!globalThis.FileSystemFileHandle?.prototype.createSyncAccessHandle) throw unsupported('OPFS has no sync handles here');
    this.#waiting = new AbortController();
    const locks = [await hold(ownerLock(this.#name), { signal: this.#waiting.signal })];
    const release = () => Promise.all(locks.map((end) => end?.()));
    // Who has its database open writes to that; it moves when nobody has.
    locks.push(await holdPlace(this.#name));
    if (!locks[1]) {
      await release();
      return 'indexeddb';
    }
    let folder;
    try {
      await load(module);
      folder = await openFolder(this.#name);
      this.#pack = await call(Pack.open(folder, true));
      if (!(await this.#takeOver())) {
        await this.#pack.close();
        await removeFolder(this.#name);
        await release();
        return 'indexeddb';
      }
    } catch (error) {
      await this.#pack?.close().catch(() => {});
      folder?.close();
      await release();
      throw error;
    }
    this.#channel = new BroadcastChannel(commonChannel(this.#name));
    this.#channel.onmessage = ({ data }) => {
      if (data.who) this.#channel.postMessage({ owner: id });
      else if (data.owner === id) this.#serveElsewhere(data.client);
    };
    this.#channel.postMessage({ owner: id });
    this.release = release;
    return 'opfs';
  }

  /** Moves what is in the database here; false if that cannot be done, and it has to stay there. */
  async #takeOver() {
    const databases = await indexedDB.databases();
    if (!databases.some(({ name }) => name === this.#name)) return true;
    let needless;
    try {
      needless = await call(this.#pack.takeOver(this.#name));
    } catch (error) {
      console.warn(`ipfs-kit-storage: ${this.#name} stays in IndexedDB: ${error.message}`);
      return false;
    }
    if (needless) await deleteDatabase(this.#name);
    return true;
  }

  async serve(port) {
    await this.#owning;
    this.#session(port);
  }

  #serveElsewhere(client) {
    const port = new BroadcastChannel(clientChannel(client, id));
    const session = this.#session(port);
    port.postMessage(['ready']);
    // It holds its lock as long as it lives.
    navigator.locks.request(clientLock(client), () => session.end());
  }

  #session(port) {
    let engine;
    let available;
    let tell;
    const root = {
      open: async (options, remotes, told) => {
        engine = this.#pack.engine(options, remotes);
        tell = told;
        return engine;
      },
      close: async () => session.end(),
    };
    const served = () => {
      const now = engine?.isAvailable();
      if (now !== available) tell((available = now));
    };
    const session = new Endpoint(port, {
      root,
      owned: true,
      served,
      newCancel: () => new Cancel(),
      ended: () => {
        engine = undefined;
        this.#sessions.delete(session);
        this.#settle();
      },
    });
    this.#sessions.add(session);
    return session;
  }

  /** Closes the store when nobody wants it any more. */
  async #settle() {
    if (this.#wanted > 0 || this.#sessions.size > 0) return;
    stores.delete(this.#name);
    this.#waiting?.abort();
    const kind = await this.#owning?.catch(() => {});
    if (kind !== 'opfs') return;
    this.#channel.close();
    await this.#pack.close().catch(() => {}); // the next opening finds out what is durable
    this.#pack.free();
    await this.release();
  }
}

async function giveBack(name, module) {
  if (!(await exists(name))) return;
  const release = await holdSoon(placeLock(name), {}, 2000);
  if (!release) throw asError({ code: 'locked', message: 'it is open elsewhere, in OPFS; close it there' });
  let folder;
  try {
    await load(module);
    folder = await openFolder(name);
    const pack = await call(Pack.open(folder, true));
    await call(pack.giveBack(name));
    await pack.close();
    pack.free();
    await removeFolder(name);
  } finally {
    folder?.close();
    await release();
  }
}

function deleteDatabase(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

function unsupported(message) {
  return new UnsupportedError(message, { code: 'unsupported' });
}
