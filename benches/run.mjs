// `./x bench [--quick] [wasi] [browser] [opfs] [fetch] [copies] [keeping] [trees]`: what was built against the best of its kind, or a store of many
// blocks against one of few, side by side on the same data.

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, makeData } from './common.mjs';
import { wasi } from './wasi.mjs';
import { browser } from './browser.mjs';
import { copies } from './copies.mjs';
import { fetching } from './fetch.mjs';
import { opfs } from './opfs.mjs';
import { keeping } from './keeping.mjs';
import { trees } from './trees.mjs';

const PARTS = { wasi, browser, opfs, fetch: fetching, copies, keeping, trees };

const args = process.argv.slice(2);
const repetitions = args.includes('--quick') ? 1 : 3;
const named = args.filter((arg) => arg !== '--quick');
const unknown = named.find((name) => !(name in PARTS));
if (unknown !== undefined) throw new Error(`no part ${unknown}: there are ${Object.keys(PARTS).join(', ')}`);
if (!existsSync(join(ROOT, 'dist'))) throw new Error('there is nothing to measure: run ./x dist first');

// On the disk the project is on; /tmp may be memory.
const folder = await mkdtemp(join(ROOT, 'target/bench-'));
try {
  await makeData(folder);
  for (const name of named.length > 0 ? named : Object.keys(PARTS)) await PARTS[name](folder, repetitions);
} finally {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
