// The package, as dist/ has it.

import { openStorage } from '/npm/index.js';
import wasm from '/npm/ipfs_kit_storage.js';

/** Files in one `storeMany`. */
const BATCH = 256;
/** Calls of `store` under way at once. */
const AT_ONCE = 256;

export async function open(name, durability, remotes, options) {
  const { memoryBytes, ...others } = options ?? {};
  const storage = await openStorage({ name, durability, remotes, tier: 'indexeddb', ...others });
  if (memoryBytes !== undefined) await storage.configureCache({ memoryBytes });
  return {
    fetchFile: async (cid) => (await storage.retrieve(cid)).length,
    fetchDirectory: (cid) => storage.pin(cid),
    held: async () => (await storage.backendStatus()).bytes,

    add: async (file) => (await storage.store(file)).cid,
    addTree: async (entries) => (await storage.storeTree(entries)).cid,
    read: (cid) => storage.stream(cid),
    stat: (root, path) => storage.stat(`${root}/${path}`),
    get: (root, path) => storage.retrieve(`${root}/${path}`),
    range: (cid, offset, length) => storage.retrieve(cid, { offset, length }),

    async addTogether(files) {
      for (let at = 0; at < files.length; at += BATCH) {
        await storage.storeMany(files.slice(at, at + BATCH).map((data) => ({ data })));
      }
    },

    async addEach(files) {
      const rest = files.values();
      const caller = async () => {
        for (const file of rest) await storage.store(file);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, caller));
    },

    async list(root) {
      let count = 0;
      for await (const _ of storage.ls(root)) count += 1;
      return count;
    },

    close: () => storage.close(),
    heap: async () => (others.tier === undefined ? (await wasm()).memory.buffer.byteLength : undefined),
  };
}
