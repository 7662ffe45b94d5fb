// The package in Node: stores are folders, in the format of the WASI component. Types and documentation are in node.d.ts.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { call } from './calls.js';
import { Cancel, load, Pack } from './engine.js';
import { asError } from './errors.js';
import { NodeFolder } from './folder.js';
import { opening } from './opening.js';

export * from './errors.js';
export { Storage } from './storage.js';
export const { openStorage, getStorage, resetStorage } = opening(connect, process.env);

/** Stores that are being closed, by their folders. */
const closing = new Map();

async function connect({ name, directory = join('.', name), remotes, module, ...options }) {
  await load(module ?? (await readFile(new URL('./ipfs_kit_storage_bg.wasm', import.meta.url))));
  await closing.get(directory);
  const pack = await call(Pack.open(new NodeFolder(directory), false));
  let engine;
  try {
    engine = pack.engine(options, remotes);
  } catch (error) {
    await pack.close();
    throw asError(error);
  }
  engine.close = () => {
    const closed = pack.close().catch(() => {}); // the next opening finds out what is durable
    closing.set(directory, closed);
    closed.then(() => closing.get(directory) === closed && closing.delete(directory));
  };
  return { engine, Cancel };
}
