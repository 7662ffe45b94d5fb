// The package in browsers: stores are in OPFS where that can be, with their engine in a worker, and else in IndexedDB, with
// their engine here. Where there is no worker, as in service workers, a store that is in OPFS is that of the pages. Types and documentation are in index.d.ts.

import { canAsk, canHost, giveBack, openClient } from './client.js';
import { openDatabase } from './engine.js'; // not when it is needed: service workers import nothing later
import { InvalidArgumentError, IoError, LockedError, StorageError, UnsupportedError } from './errors.js';
import { holdSoon, placeLock } from './names.js';
import { opening } from './opening.js';
import { exists } from './opfs.js';

export * from './errors.js';
export { Storage } from './storage.js';
export const { openStorage, getStorage, resetStorage } = opening(connect);

async function connect({ name, remotes, tier = 'auto', module, ...options }) {
  if (!['auto', 'opfs', 'indexeddb'].includes(tier)) {
    throw new InvalidArgumentError(`a tier is auto, opfs or indexeddb, not ${tier}`, { code: 'invalid-argument' });
  }
  const wasm = await portable(module);
  if (tier === 'indexeddb') {
    if (await isInFiles(name)) {
      // What is written to a database beside it would be lost when one of the two has to go.
      if (!canHost()) throw new UnsupportedError('it is in OPFS, and there is no worker here to move it', { code: 'unsupported' });
      await giveBack(name, wasm);
    }
    return inDatabase(name, wasm, options, remotes);
  }
  if (canHost() || (canAsk() && (await isInFiles(name)))) {
    try {
      const client = await openClient(name, wasm, options, remotes);
      if (client) return client;
    } catch (error) {
      // What the engine says counts. A worker that does not start, or that has no OPFS, is none.
      if (error instanceof StorageError && error.code !== 'unsupported') throw error;
      // But a store that is there is not to look empty.
      if (await isInFiles(name)) throw new IoError(`its worker does not start: ${error.message}`, { code: 'io' });
    }
  }
  if (tier === 'opfs') throw new UnsupportedError('there is no OPFS here, or no worker for it', { code: 'unsupported' });
  return inDatabase(name, wasm, options, remotes);
}

/** Whether there is a store of this name in OPFS, as far as anybody can tell here. */
function isInFiles(name) {
  return exists(name).catch(() => false);
}

/** The engine here, over IndexedDB. */
async function inDatabase(name, module, options, remotes) {
  const release = canAsk() ? await holdSoon(placeLock(name), { mode: 'shared' }, 2000) : () => {};
  try {
    // It may have come to be in files since that was looked at. From here on it cannot.
    if (!release || (canAsk() && (await isInFiles(name)))) {
      throw new LockedError('it is open elsewhere, in OPFS; close it there, or open it again', { code: 'locked' });
    }
    return await openDatabase(name, module, options, remotes, release);
  } catch (error) {
    release?.();
    throw error;
  }
}

/** Where the wasm is, or what it is, as it can be given to a worker. */
async function portable(module) {
  if (module instanceof Response) return module.arrayBuffer();
  if (module instanceof Request) return module.url;
  if (typeof module === 'string' || module instanceof URL) return new URL(module, globalThis.location?.href).href;
  return module;
}
