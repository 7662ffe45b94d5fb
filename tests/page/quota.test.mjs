// What the browser says of its room, and what happens when there is none.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { open } from './harness.mjs';

let harness;
beforeEach(async () => {
  harness = await open();
});
afterEach(() => harness?.close());

test('the status tells of the room, and the browser can be asked to keep the store', async () => {
  const page = await harness.page();
  const said = await page.evaluate(async () => {
    const storage = await kit.openStorage({ tier: 'indexeddb' });
    const before = await storage.backendStatus();
    await storage.store(noise(2_000_000, 1));
    const after = await storage.backendStatus();
    const granted = await storage.persist();
    const { persisted } = await storage.backendStatus();
    storage.close();
    const closed = await thrown(storage.persist());
    return { before, after, granted, persisted, closed: closed?.name, really: await navigator.storage.persisted() };
  });
  assert.ok(said.before.quota > 0);
  assert.ok(said.after.quotaUsed >= said.before.quotaUsed + 2_000_000);
  assert.equal(said.before.persisted, false);
  assert.deepEqual([said.granted, said.persisted], [said.really, said.really]);
  assert.equal(said.closed, 'CancelledError');
});

test('a worker is told of the room, and cannot ask', async () => {
  const page = await harness.page();
  const said = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const source = `
          import { openStorage } from '${location.origin}/npm/index.js';
          const storage = await openStorage({ tier: 'indexeddb' });
          const { quota, quotaUsed, persisted } = await storage.backendStatus();
          postMessage([quota > quotaUsed, persisted, await storage.persist()]);`;
        const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
      }),
  );
  assert.deepEqual(said, [true, false, false]);
});

/** Stores files, pinned, until there is no room for the smallest any more. Gives what was acknowledged, and the errors. */
const fill = (page) =>
  page.evaluate(async () => {
    window.storage = await kit.openStorage({ tier: 'indexeddb' });
    const stored = [];
    const errors = [];
    for (const size of [400_000, 2_000]) {
      for (let n = 1; n <= 3_000; n += 1) {
        const storing = storage.store(noise(size, size + n), { pin: true });
        const error = await thrown(storing.then(({ cid }) => stored.push({ cid, size, seed: size + n })));
        if (error) errors.push(error);
        if (error) break;
      }
    }
    return { stored, errors };
  });

/** Whether the store holds these files, whole, and nothing else. */
const holds = (page, stored) =>
  page.evaluate(async (stored) => {
    let whole = 0;
    for (const { cid, size, seed } of stored) {
      if ((await sha(await storage.retrieve(cid))) === (await sha(noise(size, seed)))) whole += 1;
    }
    const { roots, blocks, bytes } = await storage.backendStatus();
    return { whole, roots, blocks, bytes };
  }, stored);

/** Stores a file as soon as the browser has found that there is room for it. */
async function storesAgain(page, size) {
  for (let tries = 1; ; tries += 1) {
    await harness.collect(page);
    const error = await page.evaluate(async (size) => thrown(storage.store(noise(size, 7))), size);
    if (error === undefined) return;
    assert.equal(error.name, 'QuotaExceededError');
    assert.ok(tries < 60, 'there is no room again');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const all = (stored) => ({
  whole: stored.length,
  roots: stored.length,
  blocks: stored.length, // each file is one
  bytes: stored.reduce((sum, { size }) => sum + size, 0),
});

test('a full browser takes deletions, and then writes again', async () => {
  let page = await harness.page();
  await harness.quota(page, 16_000_000);
  const { stored, errors } = await fill(page);
  assert.deepEqual(errors.map(({ name, needed, limit }) => [name, needed, limit]), [
    ['QuotaExceededError', 400_000, 0],
    ['QuotaExceededError', 2_000, 0],
  ]);
  assert.deepEqual(await holds(page, stored), all(stored));
  const gone = [stored.splice(0, 1), stored.splice(-1, 1), stored.splice(3, 12)].flat();
  const deleted = await page.evaluate(async (gone) => {
    const errors = [];
    for (const { cid } of gone) errors.push(await thrown(storage.delete(cid, { force: true })));
    const held = await Promise.all(gone.map(({ cid }) => storage.exists(cid)));
    return { errors: errors.filter(Boolean), held: held.filter(Boolean) };
  }, gone);
  assert.deepEqual(deleted, { errors: [], held: [] });
  assert.deepEqual(await holds(page, stored), all(stored));
  // There is room again, and the store is as it says after a restart.
  await storesAgain(page, 400_000);
  await page.evaluate(() => storage.close());
  page = await harness.page();
  await page.evaluate(async () => (window.storage = await kit.openStorage({ tier: 'indexeddb' })));
  const kept = [...stored, { cid: undefined, size: 400_000, seed: 7 }];
  kept.at(-1).cid = await page.evaluate(async () => (await storage.store(noise(400_000, 7))).cid);
  assert.deepEqual(await holds(page, kept), all(kept));
});

test('a full browser takes small changes: flush, pin, unpin', async () => {
  const page = await harness.page();
  await harness.quota(page, 16_000_000);
  const { stored } = await fill(page);
  const errors = await page.evaluate(async ({ cid }) => {
    const calls = [() => storage.flush(), () => storage.pin(cid), () => storage.unpin(cid), () => storage.delete(cid)];
    const errors = [];
    for (const call of calls) errors.push(await thrown(call()));
    return errors.filter(Boolean);
  }, stored[0]);
  assert.deepEqual(errors, []);
  assert.deepEqual(await holds(page, stored.slice(1)), all(stored.slice(1)));
});

test('a full browser makes room by evicting what is not pinned', async () => {
  const page = await harness.page();
  await harness.quota(page, 16_000_000);
  const kept = await page.evaluate(async () => {
    window.storage = await kit.openStorage({ tier: 'indexeddb' });
    window.evicted = [];
    storage.onEvicted((one) => evicted.push(one));
    const kept = (await storage.store(noise(2_000_000, 1), { pin: true })).cid;
    window.stored = [];
    for (let n = 0; n < 100 && evicted.length === 0; n += 1) {
      await thrown(storage.store(noise(400_000, 100 + n)).then(({ cid }) => stored.push([cid, 100 + n])));
    }
    return kept;
  });
  // Chromium gives back the room of what was dropped only when the page's collector has run: until then a file is refused.
  await storesAgain(page, 400_000);
  const result = await page.evaluate(async (kept) => {
    const listed = new Set((await storage.listFiles()).files.map(({ cid }) => cid));
    let whole = 0;
    for (const [cid, seed] of stored.filter(([cid]) => listed.has(cid))) {
      whole += (await sha(await storage.retrieve(cid))) === (await sha(noise(400_000, seed)));
    }
    const pinned = (await sha(await storage.retrieve(kept))) === (await sha(noise(2_000_000, 1)));
    const gone = stored.filter(([cid]) => !listed.has(cid)).map(([cid]) => cid);
    const { evictedRoots } = await storage.backendStatus();
    return { gone, evicted, whole, pinned, listed: listed.size, evictedRoots };
  }, kept);
  assert.ok(result.pinned && result.evicted.length > 0);
  // What was pinned, and what was stored at last, are listed as well.
  assert.equal(result.whole, result.listed - 2);
  assert.deepEqual(result.evicted.map(({ cid }) => cid).sort(), result.gone.sort());
  assert.ok(result.evicted.every(({ reason, size }) => reason === 'medium-full' && size === 400_000));
  assert.equal(result.evictedRoots, result.evicted.length);
});

test('a large file that does not fit leaves nothing, and the next one that does is stored', async () => {
  const page = await harness.page();
  await harness.quota(page, 24_000_000);
  const result = await page.evaluate(async () => {
    window.storage = await kit.openStorage({ tier: 'indexeddb' });
    const kept = await storage.store(noise(5_000_000, 1), { pin: true });
    const before = await storage.backendStatus();
    const error = await thrown(storage.store(new Blob([noise(60_000_000, 2)])));
    const after = await storage.backendStatus();
    const figures = [before, after].map(({ blocks, bytes, roots }) => [blocks, bytes, roots]);
    return { error, figures, length: (await storage.retrieve(kept.cid)).length };
  });
  await storesAgain(page, 5_000_000);
  assert.equal(result.error?.name, 'QuotaExceededError');
  assert.deepEqual(result.figures[1], result.figures[0]);
  assert.equal(result.length, 5_000_000);
});

test('a log that cannot be written anew for want of room is only longer', async () => {
  const page = await harness.page();
  await harness.quota(page, 3_000_000);
  await page.evaluate(async () => {
    window.storage = await kit.openStorage({ tier: 'indexeddb' });
    await storage.store('a file', { pin: true });
    for (let n = 0; n < 600; n += 1) await storage.flush();
  });
  await harness.quota(page, 1);
  const result = await page.evaluate(async () => {
    const stored = async (n) => (await thrown(storage.store(noise(100_000, n), { pin: true }))) === undefined;
    let files = 1;
    while (files < 40 && (await stored(files))) files += 1; // the browser remembers for a while how much room there was
    const other = await kit.openStorage({ tier: 'indexeddb' });
    const listed = (await other.listFiles()).files.length;
    const { name, needed, limit } = await thrown(other.store('another'));
    const third = await kit.openStorage({ tier: 'indexeddb' });
    const after = (await third.listFiles()).files.length;
    return { missing: [files - listed, files - after], name, needed, limit };
  });
  assert.deepEqual(result, { missing: [0, 0], name: 'QuotaExceededError', needed: 7, limit: 0 });
});
