// The database's schema: opened by older and newer versions of the package.

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { open, ROOT } from './harness.mjs';

let harness;
let page;
let module;

before(async () => {
  harness = await open();
  page = await harness.page();
  const files = await readdir(join(ROOT, 'dist/npm'), { recursive: true });
  module = `/npm/${files.find((file) => file.endsWith('indexeddb.js'))}`;
});
after(() => harness?.close());

test('a later version goes through the missing steps only, and keeps what is there', async () => {
  const result = await page.evaluate(async (module) => {
    const { openDatabase, STEPS, writeCommit, readBlocks } = await import(module);
    const key = Uint8Array.of(1, 2, 3);
    const now = await openDatabase('upgrade');
    const memory = { buffer: Uint8Array.of(0, 7).buffer };
    const commit = { memory, keys: [], values: [], drops: [], aside: [], places: [], strict: true, blobs: true, after: 0 };
    await writeCommit(now, { ...commit, keys: [key], values: [1, 1] });
    const ran = [];
    const next = (database) => {
      ran.push('next');
      database.createObjectStore('next');
    };
    // The older one is open in this very page, as it would be in another tab: it gives way.
    const later = await openDatabase('upgrade', [...STEPS, next]);
    const again = await openDatabase('upgrade', [...STEPS, next]);
    const [kept] = await readBlocks(again, [key]);
    const outdated = await thrown(writeCommit(now, commit));
    const older = await thrown(openDatabase('upgrade'));
    const stores = [...later.objectStoreNames];
    later.close();
    again.close();
    return { ran, kept: [...kept], outdated, older, stores, version: STEPS.length };
  }, module);
  assert.deepEqual(result.ran, ['next']);
  assert.deepEqual(result.kept, [7]);
  assert.deepEqual(result.stores, ['blocks', 'log', 'next']);
  assert.equal(result.outdated.code, 'locked');
  assert.equal(result.older.code, 'unsupported');
});

test('the package says so when its database is newer than itself', async () => {
  const error = await page.evaluate(async (module) => {
    const { openDatabase, STEPS } = await import(module);
    (await openDatabase('newer', [...STEPS, () => {}])).close();
    return thrown(kit.openStorage({ name: 'newer', tier: 'indexeddb' }));
  }, module);
  assert.equal(error.name, 'UnsupportedError');
  assert.match(error.message, /newer version/);
});
