// A store in OPFS has one owner, the worker of one tab. Other tabs find it, and go on without it when it goes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './harness.mjs';

let harness;
before(async () => {
  harness = await open();
});
after(() => harness?.close());

const openIn = (page, options) =>
  page.evaluate(async (options) => {
    window.storage = await kit.openStorage(options);
    const { backends } = await storage.backendStatus();
    return backends[0].kind;
  }, options);

async function gone(page, how) {
  if (how === 'closed') return page.close();
  const crashed = page.waitForEvent('crash');
  page.goto('chrome://crash').catch(() => {});
  await crashed;
}

test('the page loads no wasm where a worker does', async () => {
  const page = await harness.page();
  assert.equal(await openIn(page, { name: 'light' }), 'opfs');
  const loaded = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  assert.deepEqual(loaded.filter((name) => name.endsWith('.wasm')), []);
  assert.ok(loaded.some((name) => name.endsWith('/worker.js')));
});

for (const how of ['closed', 'killed']) {
  test(`when the owner is ${how} the others go on, with all that was acknowledged`, async () => {
    const name = `owner ${how}`;
    const [owner, two, three] = [await harness.page(), await harness.page(), await harness.page()];
    for (const page of [owner, two, three]) assert.equal(await openIn(page, { name }), 'opfs');
    // Each stores something, through the owner.
    const stored = [];
    for (const [at, page] of [owner, two, three].entries()) {
      const store = async (seed) => (await storage.store(noise(1_500_000, seed), { pin: true })).cid;
      stored.push([await page.evaluate(store, at + 1), at + 1]);
    }
    // What is under way in the others when it goes.
    await two.evaluate(() => {
      const source = new TransformStream();
      window.writer = source.writable.getWriter();
      window.storing = thrown(storage.store(source.readable));
      return writer.write(noise(100_000, 9));
    });
    const evicted = two.evaluate(() => new Promise((resolve) => storage.onEvicted(({ reason }) => resolve(reason))));
    await two.evaluate(() => storage.configureCache({ memoryBytes: 12_345 }));
    await gone(owner, how);
    for (const page of [two, three]) {
      const whole = await page.evaluate(async (stored) => {
        const same = [];
        for (const [cid, seed] of stored) {
          same.push((await sha(await storage.retrieve(cid))) === (await sha(noise(1_500_000, seed))));
        }
        return same;
      }, stored);
      assert.deepEqual(whole, [true, true, true]);
    }
    const lost = await two.evaluate(() => {
      writer.close().catch(() => {});
      return storing;
    });
    assert.deepEqual([lost.name, lost.code, lost.typed], ['IoError', 'io', true]);
    assert.match(lost.message, /is gone, and this call with it/);
    // They write, and see what the other has written; what was set is set again, and who listened listens.
    const cid = await three.evaluate(async () => (await storage.store(noise(700_000, 77))).cid);
    assert.equal(await two.evaluate(async (cid) => (await storage.retrieve(cid)).length, cid), 700_000);
    assert.equal(await two.evaluate(async () => (await storage.backendStatus()).memoryLimit), 12_345);
    await two.evaluate(async () => {
      const { bytes } = await storage.backendStatus();
      await storage.configureCache({ diskBytes: bytes + 100_000 });
      await storage.store(noise(200_000, 78));
    });
    assert.equal(await evicted, 'limit');
    const sound = await three.evaluate(async () => (await storage.verify()).sound);
    assert.equal(sound, true);
    for (const page of [two, three]) await page.close();
  });
}

test('a read that the owner leaves behind is answered by the next', async () => {
  const [owner, two] = [await harness.page(), await harness.page()];
  for (const page of [owner, two]) await openIn(page, { name: 'reads' });
  const cid = await owner.evaluate(async () => (await storage.store(noise(30_000_000, 3))).cid);
  await two.evaluate(async (cid) => {
    const reader = storage.stream(cid).getReader();
    const first = (await reader.read()).value;
    window.rest = async () => {
      const parts = [first];
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return sha(await new Blob(parts).arrayBuffer());
        parts.push(value);
      }
    };
    // These are asked for all the time, while the owner goes.
    window.asking = true;
    window.asked = (async () => {
      let answers = 0;
      for (; asking; answers += 1) await storage.stat(cid);
      return answers;
    })();
  }, cid);
  await gone(owner, 'killed');
  const same = await two.evaluate(async () => (await rest()) === (await sha(noise(30_000_000, 3))));
  assert.equal(same, true);
  const answers = await two.evaluate(() => {
    asking = false;
    return asked;
  });
  assert.ok(answers > 0);
});

test('files, trees and signals of a tab reach an owner in another', async () => {
  const [owner, two] = [await harness.page(), await harness.page()];
  for (const page of [owner, two]) await openIn(page, { name: 'elsewhere' });
  const told = await two.evaluate(async () => {
    const data = noise(20_000_000, 3);
    const steps = [];
    const { cid } = await storage.store(new File([data], 'f.bin'), { onProgress: ({ done }) => steps.push(done) });
    const entries = [{ path: 'a', content: new Blob([data.subarray(0, 3_000_000)]) }, { path: 'b', content: 'text' }];
    const tree = await storage.storeTree(entries);
    const stop = new AbortController();
    const endless = new File([data, data, data, data], 'g.bin');
    const aborted = await thrown(storage.store(endless, { signal: stop.signal, onProgress: () => stop.abort() }));
    const same = indexedDB.cmp(await storage.retrieve(cid), data);
    const { roots } = await storage.backendStatus();
    return [steps, (await storage.retrieve(`${tree.cid}/a`)).length, aborted.name, same, roots];
  });
  assert.deepEqual(told, [[8_388_608, 16_777_216, 20_000_000], 3_000_000, 'AbortError', 0, 2]);
});

test('a tab that goes takes nothing with it from the owner', async () => {
  const [owner, two] = [await harness.page(), await harness.page()];
  for (const page of [owner, two]) await openIn(page, { name: 'clients' });
  // It relies on what it has written ahead, so that nothing can be collected, until it is gone.
  await two.evaluate(async () => {
    let taken;
    const begun = new Promise((resolve) => (taken = resolve));
    async function* source() {
      for (let at = 0; at < 24; at += 1) yield noise(1 << 20, at + 1);
      taken();
      await new Promise(() => {});
    }
    storage.store(source());
    await begun;
    await storage.flush();
  });
  const collect = () => owner.evaluate(async () => storage.collect());
  assert.equal((await collect()).postponed, true);
  await gone(two, 'killed');
  for (let tries = 1; ; tries += 1) {
    await collect();
    const { blocks } = await owner.evaluate(() => storage.backendStatus());
    if (blocks === 0) break;
    assert.ok(tries < 100, `${blocks} blocks that a dead tab wrote are still there`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('it can be closed and opened again, at once and elsewhere', async () => {
  const [one, two] = [await harness.page(), await harness.page()];
  for (const page of [one, two, one, two, one]) {
    assert.equal(await openIn(page, { name: 'again' }), 'opfs');
    await page.evaluate(async () => {
      await storage.store(noise(10_000, 1 + Math.floor(performance.now())));
      storage.close();
      const { name } = await thrown(storage.flush());
      if (name !== 'CancelledError') throw new Error(name);
    });
  }
  await openIn(one, { name: 'again' });
  assert.equal(await one.evaluate(async () => (await storage.backendStatus()).roots), 5);
});

test('where there is no OPFS the store is in IndexedDB, and says so', async () => {
  const page = await harness.page();
  const said = await page.evaluate(async () => {
    navigator.storage.getDirectory = undefined;
    const storage = await kit.openStorage({ name: 'none' });
    const { cid } = await storage.store('hello');
    const { backends } = await storage.backendStatus();
    storage.close();
    const refused = await thrown(kit.openStorage({ name: 'none', tier: 'opfs' }));
    const wrong = await thrown(kit.openStorage({ name: 'none', tier: 'memory' }));
    return [backends[0].kind, cid, refused.name, wrong.name];
  });
  assert.deepEqual(said, ['indexeddb', 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq', 'UnsupportedError', 'InvalidArgumentError']);
  const strict = await harness.page();
  const kind = await strict.evaluate(async () => {
    navigator.storage.getDirectory = () => Promise.reject(new DOMException('not in private windows', 'SecurityError'));
    // The worker has its own, and it throws there as well.
    const made = Worker;
    window.Worker = function () {
      throw new DOMException('no workers here', 'SecurityError');
    };
    const storage = await kit.openStorage({ name: 'no-worker' });
    window.Worker = made;
    return (await storage.backendStatus()).backends[0].kind;
  });
  assert.equal(kind, 'indexeddb');
});
