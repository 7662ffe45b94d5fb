// A page's side of a store in OPFS: its engine is in the worker of this page, or of another that came first. When that one goes
// the next worker in the row opens the store, and the client goes on with it. A service worker has no worker: it calls those of
// pages, and when there is none it reads the files itself, as they are then.

import { CancelledError } from './errors.js';
import { Cancel as EngineCancel, openFiles } from './engine.js';
import { clientChannel, clientLock, commonChannel, hold, ownerLock } from './names.js';
import { Cancel, Endpoint, Gone, lasting } from './rpc.js';

/** Calls that change nothing and hold nothing: whoever does not answer any more, another one is asked. */
const REPEATABLE = new Set([
  'stat', 'listFiles', 'exists', 'listPins', 'getName', 'listNames', 'getValue', 'getBlock', 'blockKeys', 'backendStatus',
  'filesStat', 'filesLs', 'filesHistory', 'replication', 'listOutbox', 'sync', 'reader', 'filesReader', 'exportCar', 'flush', 'configureCache',
]);

let worker;
/** What the worker of this page is called as an owner. */
let ownId;

/** The worker of this page, which is started once. Rejects where there can be none. */
function host() {
  worker ??= new Promise((resolve, reject) => {
    const started = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'ipfs-kit-storage' });
    started.onerror = (event) => {
      event.preventDefault?.();
      worker = undefined; // it may be there the next time
      reject(new Error(event.message ?? 'the worker does not start'));
    };
    started.onmessage = ({ data }) => {
      ownId = data;
      resolve(new Endpoint(started).root);
    };
  });
  return worker;
}

/** Whether this place can have a worker and OPFS. */
export function canHost() {
  const here = [globalThis.Worker, navigator.storage?.getDirectory, globalThis.indexedDB?.databases];
  return canAsk() && here.every((needed) => typeof needed === 'function');
}

/** Whether this place can find others that have the store open. */
export function canAsk() {
  return typeof BroadcastChannel === 'function' && navigator.locks !== undefined;
}

/** Has the worker move a store back to its database. */
export async function giveBack(name, module) {
  await (await host()).giveBack(name, module);
}

/**
 * A client of the store of this name; undefined where it has to be in IndexedDB. It is an engine, but for what it does not
 * need to answer at once.
 */
export async function openClient(name, module, options, remotes) {
  const client = new Client(name, module, options, remotes.map(asCallable));
  const kind = await client.start();
  return kind === 'opfs' ? { engine: client.engine, Cancel } : undefined;
}

class Client {
  #id = crypto.randomUUID();
  #name;
  #module;
  #given;
  /** Gives this client's lock back. */
  #release;
  #channel;
  /** The engine in use, or on its way, and its port. */
  #session;
  #endpoint;
  /** Called when there is a session again. */
  #found;
  /** The owner that this client speaks to: `own`, the id of another worker, or `nobody`. */
  #owner;
  #available = false;
  #listeners = [];
  #cache = {};
  #closed = false;

  constructor(name, module, options, remotes) {
    this.#name = name;
    this.#module = module;
    this.#given = [options, remotes];
  }

  /** Finds out what kind of tier it is, and opens it. */
  async start() {
    this.#release = await hold(clientLock(this.#id), {});
    this.#channel = new BroadcastChannel(commonChannel(this.#name));
    const elsewhere = new Promise((resolve) => {
      this.#channel.onmessage = ({ data: { owner, client } }) => {
        if (owner === undefined || owner === ownId || client !== undefined) return;
        resolve('opfs');
        this.#meet(owner);
      };
    });
    this.#channel.postMessage({ who: true });
    const here = canHost() ? this.#candidate() : this.#visit();
    try {
      const kind = await Promise.race([here, elsewhere]);
      if (kind === 'opfs') await this.#engine();
      else this.close();
      here.catch(() => {}); // of another's store it is no matter yet
      return kind;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Has the worker of this page wait for its turn. */
  async #candidate() {
    const own = await host();
    const kind = await own.own(this.#name, this.#module);
    if (kind === 'opfs') this.#meet('own');
    return kind;
  }

  /** Goes on without an owner, whenever there is none. */
  async #visit() {
    const gone = await hold(ownerLock(this.#name), { mode: 'shared' });
    gone();
    this.#meet('nobody');
    return 'opfs';
  }

  /** There is an owner. */
  #meet(owner) {
    if (this.#closed || owner === this.#owner) return;
    this.#owner = owner;
    this.#endpoint?.end(new Gone());
    const session = this.#connect(owner);
    session.catch(() => {});
    this.#found?.(session);
    this.#found = undefined;
    this.#session = session;
  }

  /** The engine; waits for an owner. */
  #engine() {
    this.#session ??= new Promise((resolve) => (this.#found = resolve));
    return this.#session;
  }

  async #connect(owner) {
    let port;
    if (owner === 'nobody') {
      port = this.#serveHere();
    } else if (owner === 'own') {
      const { port1, port2 } = new MessageChannel();
      port = port1;
      await (await host()).serve(this.#name, port2);
    } else {
      port = new BroadcastChannel(clientChannel(this.#id, owner));
      await new Promise((resolve) => {
        port.onmessage = resolve; // ready
        this.#channel.postMessage({ owner, client: this.#id });
      });
      if (!canHost()) this.#visit().catch(() => {}); // when that one has gone
    }
    if (this.#closed || this.#owner !== owner) {
      port.close();
      throw new Gone();
    }
    this.#endpoint = new Endpoint(port);
    const { root } = this.#endpoint;
    const told = lasting((available) => (this.#available = available));
    const engine = await root.open(...this.#given, told);
    for (const listener of this.#listeners) engine.onEvicted(lasting(listener));
    if (Object.keys(this.#cache).length > 0) await engine.configureCache(this.#cache);
    return engine;
  }

  /** A port to an engine that is here, and only reads. */
  #serveHere() {
    const { port1, port2 } = new MessageChannel();
    const open = async (options, remotes, told) => {
      const engine = await openFiles(this.#name, this.#module, options, remotes);
      told(engine.isAvailable());
      return engine;
    };
    const served = new Endpoint(port2, {
      root: { open, close: async () => served.end() },
      newCancel: () => new EngineCancel(),
      owned: true,
    });
    return port1;
  }

  async #call(method, args) {
    for (;;) {
      const session = this.#engine();
      try {
        const engine = await session;
        const value = await engine[method](...args);
        if (method === 'configureCache') Object.assign(this.#cache, args[0]);
        return value;
      } catch (error) {
        if (!(error instanceof Gone)) throw error;
        if (this.#closed) throw new CancelledError('this storage was closed', { code: 'cancelled' });
        if (this.#session === session) this.#session = undefined;
        if (!REPEATABLE.has(method)) throw error;
      }
    }
  }

  /** What index.js takes for an engine. */
  get engine() {
    const methods = {
      then: undefined,
      isAvailable: () => this.#available && navigator.onLine !== false,
      onEvicted: (listener) => {
        this.#listeners.push(listener);
        this.#call('onEvicted', [lasting(listener)]).catch(() => {});
      },
      close: () => this.close(),
    };
    return new Proxy(methods, {
      get: (methods, name) => (name in methods ? methods[name] : (...args) => this.#call(name, args)),
    });
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    const endpoint = this.#endpoint;
    endpoint?.root.close().catch(() => {});
    endpoint?.end(new CancelledError('this storage was closed', { code: 'cancelled' }));
    this.#channel?.close();
    if (canHost()) host().then((own) => own.leave(this.#name), () => {});
    this.#release?.();
  }
}

/** A remote with functions of its own in the place of methods. */
function asCallable(remote) {
  if (typeof remote !== 'object' || remote === null) return remote;
  const { name, kind } = remote;
  const own = { name, kind };
  for (const method of ['get', 'probe', 'put']) {
    if (typeof remote[method] === 'function') own[method] = (...args) => remote[method](...args);
  }
  return own;
}
