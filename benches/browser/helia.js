// Helia over IndexedDB, without libp2p and with no network to look at: the fastest it can be in a browser.

import { unixfs } from '@helia/unixfs';
import { IDBBlockstore } from 'blockstore-idb';
import { IDBDatastore } from 'datastore-idb';
import { createHeliaLight } from 'helia';

/** Its chunks. Larger slices cost it more: it would store views, and IndexedDB clones what is behind a view, too. */
const SLICE_BYTES = 1024 * 1024;

export async function open(name) {
  const blockstore = new IDBBlockstore(`${name}-blocks`);
  const datastore = new IDBDatastore(`${name}-data`);
  await Promise.all([blockstore.open(), datastore.open()]);
  const helia = createHeliaLight({ blockstore, datastore });
  helia.addRouter(() => ({ name: 'none', async *findProviders() {} }));
  await helia.start();
  const files = unixfs(helia);
  return {
    add: (file) => files.addByteStream(slices(file)),
    read: (cid) => files.cat(cid),

    async range(cid, offset, length) {
      const bytes = new Uint8Array(length);
      let at = 0;
      for await (const piece of files.cat(cid, { offset, length })) {
        bytes.set(piece, at);
        at += piece.length;
      }
      return bytes.subarray(0, at);
    },

    async addTogether(all) {
      for await (const _ of files.addAll(all.map((content) => ({ content }))));
    },
  };
}

async function* slices(file) {
  for (let at = 0; at < file.size; at += SLICE_BYTES) {
    yield new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer());
  }
}
