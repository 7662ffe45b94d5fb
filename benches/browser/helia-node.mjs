// Helia in Node over blockstore-fs, for `../trees.mjs`, here where Helia is installed: stores the tree and the wide directory
// of FOLDER, lists and looks up, and prints its seconds.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { unixfs } from '@helia/unixfs';
import { FsBlockstore } from 'blockstore-fs';
import { CID } from 'multiformats/cid';
import { wideEntries } from '../entries.mjs';
// By its file: the package's own entry loads an HTTP client that needs a newer Node.
import { Helia } from './node_modules/helia/dist/src/helia.js';

// Node 20 has it not yet.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const PROFILE = { profile: 'unixfs-v1-2025' };
const [folder] = process.argv.slice(2);
const store = join(folder, 'helia');
const lines = async (name) => (await readFile(join(folder, name), 'utf8')).trimEnd().split('\n');
const [paths, treeChosen, wideChosen] = await Promise.all(['tree.files', 'tree.chosen', 'wide.chosen'].map(lines));

/** What the block store has, opened anew. */
async function open() {
  const blockstore = new FsBlockstore(store);
  await blockstore.open();
  // Nobody else is to be asked.
  const nobody = () => ({ name: 'none', async get() { throw new Error('not held'); }, createSession() { return this; } });
  const nowhere = () => ({ name: 'none', async *findProviders() {} });
  const helia = new Helia({ name: 'bench', version: '1', blockstore, blockBrokers: [nobody], routers: [nowhere] });
  await helia.start();
  return unixfs(helia);
}

async function add(files, entries) {
  let root;
  for await (const { cid } of files.addAll(entries, { ...PROFILE, wrapWithDirectory: true })) root = cid;
  return String(root);
}

function* ofTree() {
  for (const path of paths) yield { path, content: content(join(folder, 'tree', path)) };
}

async function* content(path) {
  yield await readFile(path);
}

async function timed(action) {
  const start = performance.now();
  await action();
  return (performance.now() - start) / 1000;
}

const figures = {};
let files = await open();
await add(files, [{ path: 'warm/up', content: Buffer.from('warm up') }]);
figures.import = await timed(async () => (figures.tree = await add(files, ofTree())));
figures.importWide = await timed(async () => (figures.wide = await add(files, wideEntries())));

files = await open();
figures.list = await timed(async () => {
  figures.listed = 0;
  for await (const _ of files.ls(CID.parse(figures.wide))) figures.listed += 1;
});
for (const [name, root, chosen] of [['Tree', figures.tree, treeChosen], ['Wide', figures.wide, wideChosen]]) {
  const cid = CID.parse(root);
  files = await open();
  figures[`stat${name}`] = await timed(async () => {
    for (const path of chosen) await files.stat(cid, { path });
  });
  files = await open();
  figures[`get${name}`] = await timed(async () => {
    for (const path of chosen) for await (const _ of files.cat(cid, { path }));
  });
}
await rm(store, { recursive: true });
console.log(JSON.stringify(figures));
process.exit();
