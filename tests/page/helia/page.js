// What the tests use of Helia and of the package, in a page.

import { unixfs } from '@helia/unixfs';
import { MemoryBlockstore } from 'blockstore-core';
import { createHeliaLight } from 'helia';
import { importer } from 'ipfs-unixfs-importer';
import { CID } from 'multiformats/cid';
import * as kit from 'ipfs-kit-storage';
import * as both from 'ipfs-kit-storage/helia';

/** A Helia node without a network. Its router finds nothing, and says so: without one it would look for ever. */
async function offlineHelia(blockstore = new MemoryBlockstore()) {
  const node = createHeliaLight({ blockstore });
  node.addRouter(() => ({ name: 'none', async *findProviders() {} }));
  return node.start();
}

async function collect(source) {
  const parts = [];
  for await (const part of source) parts.push(part);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function noise(size, seed) {
  let state = seed >>> 0 || 1;
  return Uint8Array.from({ length: size }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 11;
  });
}

async function thrown(promise) {
  try {
    await promise;
  } catch (error) {
    const { name, code, message, attempts } = error;
    return { name, code, message, attempts };
  }
}

const same = (one, other) => indexedDB.cmp(one, other) === 0;

Object.assign(window, { CID, MemoryBlockstore, both, collect, importer, kit, noise, offlineHelia, same, thrown, unixfs });
window.ready = true;
