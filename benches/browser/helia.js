// Helia over IndexedDB, without libp2p and with no network to look at but one gateway, if any: the fastest it can be in a
// browser.

import { withHTTP } from '@helia/http';
import { unixfs } from '@helia/unixfs';
import { IDBBlockstore } from 'blockstore-idb';
import { IDBDatastore } from 'datastore-idb';
import { createHeliaLight } from 'helia';
import { CID } from 'multiformats/cid';

/** Files of a directory that are fetched at once. */
const AT_ONCE = 6;
/** Its chunks. Larger slices cost it more: it would store views, and IndexedDB clones what is behind a view, too. */
const SLICE_BYTES = 1024 * 1024;

export async function open(name, gateway) {
  const blockstore = new IDBBlockstore(`${name}-blocks`);
  const datastore = new IDBDatastore(`${name}-data`);
  await Promise.all([blockstore.open(), datastore.open()]);
  const helia = createHeliaLight({ blockstore, datastore });
  if (gateway) {
    withHTTP(helia, { delegatedRouters: [], recursiveGateways: [gateway], allowInsecure: true, allowLocal: true });
  }
  // With nobody else to ask it would wait for ever.
  helia.addRouter(() => ({ name: 'none', async *findProviders() {} }));
  await helia.start();
  const files = unixfs(helia);
  return {
    fetchFile: (cid) => drain(files.cat(CID.parse(cid))),

    async fetchDirectory(cid) {
      const names = [];
      for await (const entry of files.ls(CID.parse(cid))) names.push(entry.cid);
      const rest = names.values();
      let bytes = 0;
      const caller = async () => {
        for (const name of rest) {
          const read = await drain(files.cat(name));
          bytes += read;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, caller));
      return bytes;
    },

    add: (file) => files.addByteStream(slices(file)),
    read: (cid) => files.cat(cid),
    stat: (root, path) => files.stat(CID.parse(root), { path }),
    get: (root, path) => drain(files.cat(CID.parse(root), { path })),

    /** The profile makes the same CID as ours. */
    async addTree(entries) {
      let root;
      const options = { profile: 'unixfs-v1-2025', wrapWithDirectory: true };
      for await (const { cid } of files.addAll(entries, options)) root = cid;
      return String(root);
    },

    async list(root) {
      let count = 0;
      for await (const _ of files.ls(CID.parse(root))) count += 1;
      return count;
    },

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

async function drain(pieces) {
  let bytes = 0;
  for await (const piece of pieces) bytes += piece.length;
  return bytes;
}

async function* slices(file) {
  for (let at = 0; at < file.size; at += SLICE_BYTES) {
    yield new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer());
  }
}
