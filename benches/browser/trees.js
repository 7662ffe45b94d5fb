// The page: a tree of small files and one wide directory, stored, listed, and looked into at random.

import { wideEntries } from '../entries.mjs';
import { noise } from './noise.js';

const ENGINES = { ours: () => import('./ours.js'), helia: () => import('./helia.js') };

let open;
let tree;
let wide;

window.bench = {
  async open(name, ...options) {
    const engine = await ENGINES[name]();
    open = (store) => engine.open(store, ...options);
    const store = await open('warm');
    await store.addTree([{ path: 'warm/up', content: noise(0, 4096) }]);
    return {};
  },

  async import(paths, length) {
    const files = paths.map((path, number) => ({ path, content: noise(number, length) }));
    const entries = [...wideEntries()];
    const store = await open('trees');
    const seconds = await timed(async () => (tree = await store.addTree(files)));
    const wideSeconds = await timed(async () => (wide = await store.addTree(entries)));
    store.close?.();
    return { import: seconds, importWide: wideSeconds, tree, wide };
  },

  async list(expected) {
    const store = await open('trees');
    const seconds = await timed(async () => {
      const count = await store.list(wide);
      if (count !== expected) throw new Error(`${count} entries`);
    });
    store.close?.();
    return { list: seconds };
  },

  async lookUp(inTree, inWide) {
    const figures = {};
    for (const [name, root, paths] of [['Tree', tree, inTree], ['Wide', wide, inWide]]) {
      for (const verb of ['stat', 'get']) {
        const store = await open('trees');
        figures[`${verb}${name}`] = await timed(async () => {
          for (const path of paths) await store[verb](root, path);
        });
        store.close?.();
      }
    }
    return figures;
  },
};

async function timed(action) {
  const start = performance.now();
  await action();
  return (performance.now() - start) / 1000;
}
