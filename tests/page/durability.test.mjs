// What is acknowledged is kept: over restarts, kills, several tabs, full disks and flipped bits.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { open } from './harness.mjs';

let harness;
before(async () => {
  harness = await open();
});
after(() => harness?.close());

test('it is all there after a restart of the browser', async () => {
  let page = await harness.page();
  const stored = await page.evaluate(async () => {
    const storage = await kit.openStorage();
    const files = await storage.storeMany([{ data: 'small', filename: 's' }, { data: noise(100_000, 2) }]);
    files.push(await storage.store(noise(5_000_000, 3), { filename: 'large', pin: true }));
    return files;
  });
  await harness.restart();
  page = await harness.page();
  const found = await page.evaluate(async (stored) => {
    const storage = await kit.openStorage();
    const files = [];
    for (const { cid } of stored) files.push([await storage.stat(cid), await sha(await storage.retrieve(cid))]);
    const expected = [await sha(new TextEncoder().encode('small')), await sha(noise(100_000, 2)), await sha(noise(5_000_000, 3))];
    return { files, expected };
  }, stored);
  assert.deepEqual(found.files.map(([info]) => info), stored);
  assert.deepEqual(found.files.map(([, hash]) => hash), found.expected);
});

test('a browser killed in the midst of storing loses nothing acknowledged', async () => {
  for (let round = 0; round < 3; round += 1) {
    const page = await harness.page();
    const acknowledged = [];
    await page.exposeFunction('acknowledge', (file) => acknowledged.push(file));
    // It never returns: the browser is killed under it.
    page
      .evaluate(async (round) => {
        const storage = await kit.openStorage({ name: 'killed' });
        for (let n = 1; ; n += 1) {
          const size = n % 4 === 0 ? 3_000_000 : 20_000;
          const { cid } = await storage.store(noise(size, round * 1000 + n), { filename: `${round}-${n}` });
          await acknowledge({ cid, size, seed: round * 1000 + n });
        }
      }, round)
      .catch(() => {});
    while (acknowledged.length < 10) await new Promise((resolve) => setTimeout(resolve, 20));
    killBrowser(harness.profile);
    await harness.restart();
    const after = await harness.page();
    const checked = await after.evaluate(async (acknowledged) => {
      const storage = await kit.openStorage({ name: 'killed' });
      let whole = 0;
      for (const { cid, size, seed } of acknowledged) {
        if ((await sha(await storage.retrieve(cid))) === (await sha(noise(size, seed)))) whole += 1;
      }
      // Nothing half-written is visible: each listed root can be read to its end.
      let listed = 0;
      for await (const { cid, size } of storage.ls()) {
        if ((await storage.retrieve(cid)).length === size) listed += 1;
      }
      const { roots } = await storage.backendStatus();
      storage.close();
      return { whole, listed, roots };
    }, acknowledged);
    assert.equal(checked.whole, acknowledged.length);
    assert.equal(checked.listed, checked.roots);
    assert.ok(checked.roots >= acknowledged.length);
  }
});

/** Kills the browser that has this profile, and all its processes, as a power button would. */
function killBrowser(profile) {
  const processes = execFileSync('ps', ['-eo', 'pid=,args=']).toString().split('\n');
  const ours = processes.filter((line) => line.includes(`--user-data-dir=${profile}`)).map((line) => parseInt(line, 10));
  assert.ok(ours.length > 0, 'the browser is not running');
  for (const pid of ours) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It went with its parent.
    }
  }
}

test('two tabs and a worker share a store', async () => {
  const [one, two] = [await harness.page(), await harness.page()];
  const store = (page, from) =>
    page.evaluate(async (from) => {
      const storage = await kit.openStorage({ name: 'tabs' });
      const cids = [];
      for (let n = from; n < from + 20; n += 1) cids.push((await storage.store(noise(50_000 + n, n), { pin: true })).cid);
      return cids;
    }, from);
  const worker = one.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const source = `
          import { openStorage } from '${location.origin}/npm/index.js';
          const storage = await openStorage({ name: 'tabs' });
          const { cid } = await storage.store(new Uint8Array(2_000_000).fill(9), { filename: 'from a worker' });
          postMessage(cid);`;
        const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
      }),
  );
  const cids = (await Promise.all([store(one, 1), store(two, 101), worker])).flat();
  for (const page of [one, two]) {
    const seen = await page.evaluate(async (cids) => {
      const storage = await kit.openStorage({ name: 'tabs' });
      const sizes = await Promise.all(cids.map(async (cid) => (await storage.retrieve(cid)).length));
      const { roots, pinned } = await storage.backendStatus();
      return { bytes: sizes.reduce((a, b) => a + b), roots, pinned };
    }, cids);
    assert.deepEqual(seen, { bytes: 20 * 50_000 * 2 + 210 + 2210 + 2_000_000, roots: 41, pinned: 40 });
  }
});

test('a service worker can use it', async () => {
  const source = `
    import { openStorage } from '/npm/index.js';
    addEventListener('message', (event) => event.waitUntil((async () => {
      try {
        const storage = await openStorage({ name: 'service' });
        const { cid } = await storage.store(new Uint8Array(1_500_000).fill(5));
        event.source.postMessage({ cid, size: (await storage.retrieve(cid)).length });
      } catch (error) { event.source.postMessage({ error: String(error) }); }
    })()));`;
  const own = await open({ '/worker.js': source });
  try {
    const page = await own.page();
    const answer = await page.evaluate(async () => {
      await navigator.serviceWorker.register('/worker.js', { type: 'module' });
      const { active } = await navigator.serviceWorker.ready;
      return new Promise((resolve) => {
        navigator.serviceWorker.onmessage = ({ data }) => resolve(data);
        active.postMessage('go');
      });
    });
    assert.equal(answer.error, undefined);
    assert.equal(answer.size, 1_500_000);
  } finally {
    await own.close();
  }
});

test("the browser's own quota is a typed error, and loses nothing", async () => {
  const own = await open();
  try {
    const page = await own.page();
    await own.quota(page, 12_000_000);
    const kept = await page.evaluate(async () => {
      const storage = await kit.openStorage({ name: 'quota' });
      return (await storage.store(noise(3_000_000, 1), { filename: 'kept', pin: true })).cid;
    });
    const result = await page.evaluate(async (kept) => {
      const storage = await kit.openStorage({ name: 'quota' });
      let n = 0;
      const stream = new ReadableStream({ pull: (controller) => (n += 1) > 60 ? controller.close() : controller.enqueue(noise(1_000_000, n)) });
      const error = await thrown(storage.store(stream));
      const { roots, blocks } = await storage.backendStatus();
      return { error, roots, blocks, whole: (await sha(await storage.retrieve(kept))) === (await sha(noise(3_000_000, 1))) };
    }, kept);
    assert.equal(result.error?.name, 'QuotaExceededError', JSON.stringify(result.error));
    // The kept file's three leaves and its root; what the failed one had written ahead is gone again.
    assert.deepEqual([result.roots, result.blocks, result.whole], [1, 4, true]);
  } finally {
    await own.close();
  }
});

test('a flipped bit is reported, set aside, never returned, and healed by storing again', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'damage', tier: 'indexeddb' });
    const large = await storage.store(noise(2_500_000, 1));
    const small = await storage.store(noise(1000, 2));
    const other = await storage.store(noise(1000, 3));
    storage.close();
    // Flip a bit in each record, behind the engine's back.
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open('damage');
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const answer = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const blocks = (mode) => database.transaction('blocks', mode).objectStore('blocks');
    for (const record of await answer(blocks('readonly').getAll())) {
      const blob = record.value instanceof Blob;
      const bytes = blob ? new Uint8Array(await record.value.arrayBuffer()) : record.value;
      if (!blob && (bytes.length !== 1000 || bytes[0] === noise(1, 3)[0])) continue; // the other small one stays whole
      for (let at = 399_999; blob && at < bytes.length; at += 400_000) bytes[at] ^= 4; // in each leaf
      bytes[bytes.length - 1] ^= 4;
      const value = blob ? new Blob([bytes]) : bytes;
      await answer(blocks('readwrite').put({ ...record, value }));
    }
    database.close();
    const again = await kit.openStorage({ name: 'damage', tier: 'indexeddb' });
    const errors = [await thrown(again.retrieve(large.cid)), await thrown(again.retrieve(small.cid))];
    const held = await again.exists(small.cid);
    const whole = (await again.retrieve(other.cid)).length;
    const { quarantined } = await again.backendStatus();
    await again.store(noise(1000, 2));
    await again.store(noise(2_500_000, 1));
    const healed = [(await again.retrieve(small.cid)).length, (await again.retrieve(large.cid)).length];
    again.close();
    return { errors, held, whole, quarantined, healed, cids: [large.cid, small.cid] };
  });
  assert.deepEqual(result.errors.map((error) => error?.name), ['CorruptError', 'CorruptError']);
  assert.equal(result.errors[1].cid, result.cids[1]);
  assert.equal(result.held, false);
  assert.equal(result.whole, 1000);
  assert.ok(result.quarantined >= 2);
  assert.deepEqual(result.healed, [1000, 2_500_000]);
});

test('an import whose source stalls holds nobody up', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'stall' });
    let go;
    const stalled = new Promise((resolve) => (go = resolve));
    async function* source() {
      for (let piece = 0; piece < 9; piece++) yield noise(1 << 20, piece);
      await stalled;
      yield noise(1 << 20, 9);
    }
    const importing = storage.store(source());
    const steps = [];
    const within = (name, promise) =>
      Promise.race([promise.then(() => name), new Promise((resolve) => setTimeout(resolve, 10_000, `${name} hangs`))]);
    await new Promise((resolve) => setTimeout(resolve, 5)); // in the midst of writing, perhaps
    for (let at = 0; at < 20; at++) {
      steps.push(await within('store', storage.store(`small ${at}`)));
      steps.push(await within('list', storage.listFiles('/')));
      steps.push(await within('flush', storage.flush()));
    }
    go();
    const { size } = await importing;
    storage.close();
    return { steps: [...new Set(steps)], size };
  });
  assert.deepEqual(result, { steps: ['store', 'list', 'flush'], size: 10 << 20 });
});

test('a large import does not use up the memory that the browser has for Blobs', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'blobs', durability: 'relaxed', tier: 'indexeddb' });
    const MIB = 1 << 20;
    const piece = noise(8 * MIB, 1);
    const stamp = (number) => {
      for (let at = 0; at < 8; at++) new DataView(piece.buffer).setUint32(at * MIB, number);
      return piece;
    };
    // One buffer again and again: nothing here makes the collector look for Blobs.
    async function* source() {
      for (let number = 0; number < 80; number++) yield stamp(number);
    }
    const { cid, size } = await storage.store(source());
    const last = await storage.retrieve(cid, { offset: 79 * 8 * MIB });
    const same = indexedDB.cmp(last, stamp(79)) === 0;
    await storage.flush();
    const first = await storage.retrieve(cid, { length: 8 * MIB });
    const flushed = indexedDB.cmp(first, stamp(0)) === 0;
    storage.close();
    return { size, same, flushed };
  });
  assert.deepEqual(result, { size: 640 << 20, same: true, flushed: true });
});

test('blocks are stored as arrays where the browser takes no Blobs', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const { add } = IDBObjectStore.prototype;
    let refused = 0;
    IDBObjectStore.prototype.add = function (record, ...rest) {
      if (!(record.value instanceof Blob)) return add.call(this, record, ...rest);
      refused += 1;
      throw new DOMException('Failed to write blobs', 'DataError');
    };
    try {
      const storage = await kit.openStorage({ name: 'no-blobs', tier: 'indexeddb' });
      const data = noise(5_000_000, 3);
      const { cid } = await storage.store(data);
      const same = indexedDB.cmp(await storage.retrieve(cid), data) === 0;
      const { quarantined } = await storage.backendStatus();
      storage.close();
      return { refused: refused > 0, same, quarantined };
    } finally {
      IDBObjectStore.prototype.add = add;
    }
  });
  assert.deepEqual(result, { refused: true, same: true, quarantined: 0 });
});

test('what another tab drops is not read any more', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const [one, other] = [await kit.openStorage({ name: 'dropped', tier: 'indexeddb' }), await kit.openStorage({ name: 'dropped', tier: 'indexeddb' })];
    await one.configureCache({ memoryBytes: 0 });
    const { cid } = await one.store(noise(3_000_000, 4));
    const length = (await one.retrieve(cid)).length;
    await other.delete(cid);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const error = await thrown(one.retrieve(cid));
    one.close();
    other.close();
    return { length, error: error?.name };
  });
  assert.deepEqual(result, { length: 3_000_000, error: 'NotAvailableOfflineError' });
});
