// The engine where this module is loaded: its wasm, stores in IndexedDB, and snapshots of those in OPFS.

import init, { Cancel, Engine, openSnapshot } from './ipfs_kit_storage.js';
import { call } from './calls.js';
import { findFolder } from './opfs.js';
import { SnapshotFolder } from './snapshot.js';

export * from './ipfs_kit_storage.js';

let loading;

/** Loads the wasm, once. */
export async function load(module) {
  // One that failed to load, offline perhaps, may load the next time.
  loading ??= init(module === undefined ? undefined : { module_or_path: module }).catch((error) => {
    loading = undefined;
    throw error;
  });
  await loading;
}

/** A store in IndexedDB. `closed` is called when it is closed. */
export async function openDatabase(name, module, options, remotes, closed) {
  await load(module);
  const engine = await call(Engine.open(name, options, remotes));
  const close = engine.close.bind(engine);
  engine.close = () => {
    close();
    closed();
  };
  return { engine, Cancel };
}

/** A store in OPFS that nobody has open, to be read. */
export async function openFiles(name, module, options, remotes) {
  await load(module);
  return call(openSnapshot(new SnapshotFolder(await findFolder(name)), options, remotes));
}
