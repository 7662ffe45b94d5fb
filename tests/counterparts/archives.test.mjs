// The tools for archives, against Kubo's.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { inspect, offsets, reversed, throughHelia } from './archives.mjs';

test('they read and write what Kubo wrote', async () => {
  const archive = await readFile(new URL('../vectors/car/dir3-v1.car', import.meta.url));
  const found = await inspect(archive);
  assert.deepEqual([found.version, found.wrong], [1, []]);
  assert.deepEqual(Object.keys(await offsets(archive)).sort(), [...found.cids].sort());
  assert.deepEqual((await inspect(await reversed(archive))).cids, [...found.cids].reverse());
  const helia = await inspect(await throughHelia(archive));
  assert.deepEqual([helia.roots, [...helia.cids].sort()], [found.roots, [...found.cids].sort()]);
});
