// The page: one engine at a time, step by step, so that its memory can be looked at between them.

import { noise } from './noise.js';

const ENGINES = { ours: () => import('./ours.js'), helia: () => import('./helia.js') };
const MIB = 1024 * 1024;

const picked = () => document.querySelector('input').files[0];
let engine;
let open;
let store;
let root;

window.bench = {
  /** Opens a store, and stores and reads something, so that nothing is done for the first time later. */
  async open(name, ...options) {
    engine = await ENGINES[name]();
    open = (store) => engine.open(store, ...options);
    store = await open('large');
    const warm = await store.add(new Blob([noise(0, 4 * MIB)]));
    await store.range(warm, 0, 1);
  },

  async import() {
    const start = performance.now();
    root = await store.add(picked());
    return { seconds: since(start), cid: String(root), heap: await store.heap?.() };
  },

  async read() {
    const start = performance.now();
    let bytes = 0;
    for await (const piece of store.read(root)) bytes += piece.length;
    if (bytes !== picked().size) throw new Error(`${bytes} bytes came back`);
    return { seconds: since(start), heap: await store.heap?.() };
  },

  async ranges(count, length) {
    const offsets = new Uint32Array(noise(1, 4 * count).buffer);
    const start = performance.now();
    for (const random of offsets) {
      const bytes = await store.range(root, random % (picked().size - length), length);
      if (bytes.length !== length) throw new Error(`a range of ${bytes.length} bytes`);
    }
    return { seconds: since(start) };
  },

  /** Stores small files, all `together` or `each` by itself. */
  async small(how, count, length) {
    const files = [];
    while (files.length < count) {
      files.push(noise(2 + files.length, length));
      if (files.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve)); // others are to have their turn
    }
    const fresh = await open(how);
    const start = performance.now();
    if (how === 'together') await fresh.addTogether(files);
    else await fresh.addEach(files);
    return { seconds: since(start) };
  },

  /** The store of the file again, with nothing in memory. */
  async reopen(...options) {
    store.close();
    store = await engine.open('large', ...options);
  },

  /** Seconds of the bare pipeline, with as many hash workers as the package has. */
  async pipeline() {
    const { pipeline } = await import('./pipeline.js');
    return pipeline(picked(), Math.min(4, navigator.hardwareConcurrency));
  },

  async limits() {
    const { hash, putAndGet } = await import('./limits.js');
    return { hash: await hash(), ...(await putAndGet(picked())) };
  },
};

function since(start) {
  return (performance.now() - start) / 1000;
}
