// Checking and repairing a store in a page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gateway } from './gateway.mjs';
import { open } from './harness.mjs';

let harness;
let remote;
let page;

before(async () => {
  harness = await open();
  remote = await gateway('file1048577-chunk1024-v1.car');
  page = await harness.page();
  // Flips a bit in so many records, behind the engine's back.
  await page.evaluate(() => {
    window.damage = async (name, most) => {
      const database = await new Promise((resolve, reject) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const answer = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
      const blocks = (mode) => database.transaction('blocks', mode).objectStore('blocks');
      for (const record of (await answer(blocks('readonly').getAll())).filter(({ keys }) => keys.length > 0).slice(0, most)) {
        const blob = record.value instanceof Blob;
        const bytes = blob ? new Uint8Array(await record.value.arrayBuffer()) : record.value;
        bytes[500] ^= 4;
        await answer(blocks('readwrite').put({ ...record, value: blob ? new Blob([bytes]) : bytes }));
      }
      database.close();
    };
  });
});
after(() => {
  remote?.close();
  return harness?.close();
});

test('a check tells how far it is, and what is wrong', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'verify', tier: 'indexeddb' });
    const { cid } = await storage.store(noise(12_000_000, 1));
    await storage.store('small', { pin: true });
    const steps = [];
    const whole = await storage.verify({ onProgress: (step) => steps.push(step) });
    const { blocks, bytes } = await storage.backendStatus();
    const sample = await storage.verify({ sample: 0.5, seed: 3 });
    const wrong = await Promise.all([thrown(storage.verify({ sample: 2 })), thrown(storage.verify({ simple: 1 }))]);
    storage.close();
    await damage('verify', 1);
    const again = await kit.openStorage({ name: 'verify', tier: 'indexeddb' });
    const damaged = await again.verify();
    const { quarantined } = await again.backendStatus();
    await again.store(noise(12_000_000, 1));
    const healed = await again.verify();
    again.close();
    return { cid, steps, whole, blocks, bytes, sample, wrong, damaged, quarantined, healed };
  });
  const { whole, damaged } = result;
  assert.equal(whole.sound, true, JSON.stringify(whole));
  assert.deepEqual([whole.checked, whole.blocks, whole.bytes], [result.blocks, result.blocks, result.bytes]);
  assert.deepEqual([whole.keepers, whole.unreached, whole.unreachedBytes, whole.figuresCompared], [2, 0, 0, true]);
  assert.ok(result.steps.length >= 4 && result.steps.every((step) => step.total === result.blocks));
  assert.ok(result.steps.every((step, n) => step.bytes - (result.steps[n - 1]?.bytes ?? 0) <= 8 << 20));
  assert.ok(result.sample.sound && result.sample.seed === 3 && result.sample.checked < result.blocks);
  assert.deepEqual(result.wrong.map((error) => error?.code), ['invalid-argument', 'invalid-argument']);
  assert.equal(damaged.sound, false);
  assert.deepEqual([damaged.corrupt, damaged.missing], [{ found: 1, repaired: 0 }, { found: 1, repaired: 0 }]);
  assert.equal(result.quarantined, 1);
  const missing = damaged.findings.find(({ fault }) => fault === 'missing');
  assert.deepEqual([missing.cid, missing.some.length], [result.cid, 1]);
  assert.equal(result.healed.sound, true, JSON.stringify(result.healed));
});

test('what is corrupt comes back from a gateway, unless the gateway lies', async () => {
  const [cid] = remote.roots;
  const run = () =>
    page.evaluate(
      async ({ url, cid }) => {
        const storage = await kit.openStorage({ name: 'repair', remotes: [url], tier: 'indexeddb' });
        await storage.pin(cid);
        storage.close();
        await damage('repair', 3);
        const again = await kit.openStorage({ name: 'repair', remotes: [url], tier: 'indexeddb' });
        const report = await again.verify({ repair: true });
        const bytes = await again.retrieve(cid, { offline: true }).catch((error) => error.code);
        again.close();
        return { report, same: bytes instanceof Uint8Array ? indexedDB.cmp(bytes, rule(1_048_577)) === 0 : bytes };
      },
      { url: remote.url, cid },
    );
  const { report, same } = await run();
  assert.equal(report.sound, true, JSON.stringify(report));
  assert.ok(report.corrupt.found > 0 && report.corrupt.repaired === report.corrupt.found);
  assert.equal(same, true);
  remote.state.fault = 'status';
  const failed = await run();
  remote.state.fault = undefined;
  assert.equal(failed.report.sound, false);
  assert.ok(failed.report.corrupt.found > 0 && failed.report.corrupt.repaired === 0);
  assert.equal(failed.same, 'not-available-offline');
});

test('an aborted check ends, and leaves the store as it is', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'abort' });
    const { cid } = await storage.store(noise(30_000_000, 2));
    const abort = new AbortController();
    let steps = 0;
    const onProgress = () => {
      steps += 1;
      if (steps === 2) abort.abort(new Error('enough'));
    };
    const error = await storage.verify({ signal: abort.signal, onProgress }).catch(({ message }) => message);
    const before = await storage.verify({ signal: AbortSignal.abort(new Error('never')) }).catch(({ message }) => message);
    const { length } = await storage.retrieve(cid);
    const { sound } = await storage.verify();
    storage.close();
    const closed = await thrown(storage.verify());
    return { error, before, steps, length, sound, closed };
  });
  assert.deepEqual([result.error, result.before, result.steps, result.length, result.sound], ['enough', 'never', 2, 30_000_000, true]);
  assert.equal(result.closed.code, 'cancelled');
});
