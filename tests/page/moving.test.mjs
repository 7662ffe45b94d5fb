// A store moves between IndexedDB and OPFS with all that it has, also when that is cut off, and damage in either is told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './harness.mjs';

let harness;
before(async () => {
  harness = await open();
});
after(() => harness?.close());

const MEGABYTES = 12;

/** Fills a store with all kinds of things. */
const fill = (page, options) =>
  page.evaluate(
    async ([options, megabytes]) => {
      const storage = await kit.openStorage(options);
      for (let at = 0; at < megabytes / 4; at += 1) {
        await storage.store(noise(4_000_000, at + 1), { filename: `large ${at}`, pin: at % 2 === 0 });
      }
      const small = Array.from({ length: 700 }, (_, at) => ({ data: noise(500 + at, at + 50), filename: `small ${at}` }));
      const [first, second] = await storage.storeMany(small);
      await storage.pin(first.cid, { name: 'mine', labels: { a: 'b' }, expires: 4e12 });
      await storage.setName('latest', second.cid);
      await storage.putValue({ list: [1, 'two'], link: { '/': first.cid } }, { pin: true });
      await storage.files.write('/a/b.txt', 'text', { create: true, parents: true });
      storage.close();
    },
    [options, MEGABYTES],
  );

/** All that a store says of itself, and whether its bytes are what they were. */
const told = (page, options) =>
  page.evaluate(
    async ([options, megabytes]) => {
      const storage = await kit.openStorage(options);
      const all = async (source) => {
        const items = [];
        for await (const item of source) items.push(item);
        return items;
      };
      const { backends, blocks, bytes, roots, pinned, quarantined } = await storage.backendStatus();
      const keys = (await all(storage.blockKeys())).map((key) => key.join()).sort();
      const lists = await Promise.all([all(storage.ls()), all(storage.pins()), all(storage.names())]);
      const text = new TextDecoder().decode(await storage.files.read('/a/b.txt'));
      const history = await storage.files.history();
      const same = [];
      for (const { cid, filename } of lists[0]) {
        const [, kind, at] = /^(large|small) (\d+)$/.exec(filename ?? '') ?? [];
        if (kind === undefined) continue;
        const expected = kind === 'large' ? noise(4_000_000, Number(at) + 1) : noise(500 + Number(at), Number(at) + 50);
        same.push(indexedDB.cmp(await storage.retrieve(cid), expected) === 0);
      }
      const whole = [same.length === megabytes / 4 + 700, same.every(Boolean), (await storage.verify()).sound];
      storage.close();
      return { kind: backends[0].kind, all: { blocks, bytes, roots, pinned, quarantined, keys, lists, text, history, whole } };
    },
    [options, MEGABYTES],
  );

/** Where something of this name is. */
const places = (page, name) =>
  page.evaluate(async (name) => {
    const databases = (await indexedDB.databases()).map(({ name }) => name);
    const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('.ipfs-kit-storage', { create: true });
    const folders = [];
    for await (const folder of home.keys()) folders.push(folder);
    return [databases.includes(name), folders.includes(`store-${name}`)];
  }, name);

test('a store moves from IndexedDB to OPFS, and back when that is asked for', async () => {
  const page = await harness.page();
  await fill(page, { name: 'moves', tier: 'indexeddb' });
  const before = await told(page, { name: 'moves', tier: 'indexeddb' });
  assert.deepEqual([before.kind, before.all.whole], ['indexeddb', [true, true, true]]);
  assert.deepEqual(await places(page, 'moves'), [true, false]);
  assert.deepEqual(await told(page, { name: 'moves' }), { ...before, kind: 'opfs' });
  assert.deepEqual(await places(page, 'moves'), [false, true]);
  assert.deepEqual(await told(page, { name: 'moves', tier: 'indexeddb' }), before);
  assert.deepEqual(await places(page, 'moves'), [true, false]);
});

test('a database of somebody else with the same name harms no store', async () => {
  const page = await harness.page();
  await fill(page, { name: 'shared-name' });
  const before = await told(page, { name: 'shared-name' });
  const content = () =>
    page.evaluate(async () => {
      const database = await new Promise((resolve, reject) => {
        const request = indexedDB.open('shared-name', 1);
        request.onupgradeneeded = () => request.result.createObjectStore('theirs').put('precious', 1);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const value = await new Promise((resolve) => {
        database.transaction('theirs').objectStore('theirs').get(1).onsuccess = ({ target }) => resolve(target.result);
      });
      database.close();
      return value;
    });
  assert.equal(await content(), 'precious');
  assert.deepEqual(await told(page, { name: 'shared-name' }), before);
  assert.equal(await content(), 'precious');
});

test('it does not move under somebody who has it open', async () => {
  const [one, two] = [await harness.page(), await harness.page()];
  const openIn = (page, options) =>
    page.evaluate(async (options) => {
      window.storage = await kit.openStorage(options);
      return (await storage.backendStatus()).backends[0].kind;
    }, options);
  assert.equal(await openIn(one, { name: 'held', tier: 'indexeddb' }), 'indexeddb');
  assert.equal(await openIn(two, { name: 'held' }), 'indexeddb');
  await one.evaluate(() => storage.close());
  await two.evaluate(() => storage.close());
  assert.equal(await openIn(one, { name: 'held' }), 'opfs');
  const refused = await two.evaluate(() => thrown(kit.openStorage({ name: 'held', tier: 'indexeddb' })));
  assert.equal(refused.name, 'LockedError');
  await one.evaluate(() => storage.close());
  assert.equal(await openIn(two, { name: 'held', tier: 'indexeddb' }), 'indexeddb');
});

for (const [from, to] of [['indexeddb', 'opfs'], ['opfs', 'indexeddb']]) {
  test(`a move from ${from} that is cut off by a killed page is gone on with, whichever way it is opened`, async () => {
    const name = `cut-${from}`;
    let page = await harness.page();
    await fill(page, { name, tier: from });
    const before = await told(page, { name, tier: from });
    let cut = 0;
    for (let delay = 20; ; delay *= 1.6) {
      page.evaluate(([name, tier]) => kit.openStorage({ name, tier }), [name, to]).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, delay));
      const crashed = page.waitForEvent('crash');
      page.goto('chrome://crash').catch(() => {});
      await crashed;
      page = await harness.page();
      const [database, folder] = await places(page, name);
      if (database && folder) cut += 1;
      assert.ok(database || folder, 'it is nowhere');
      if (database !== folder && folder === (to === 'opfs')) break; // it has moved
      // Now and then the other way, with half a copy there.
      if (cut === 2) assert.deepEqual(await told(page, { name, tier: from }), before);
    }
    assert.ok(cut > 0, 'no move was cut off');
    assert.deepEqual(await told(page, { name, tier: to }), { ...before, kind: to });
  });
}

test('a store in OPFS is never one in a database as well, however slow somebody is to leave it', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const name = 'slow to leave';
    const first = await kit.openStorage({ name });
    const { cid } = await first.store('first');
    first.close();
    const left = await new Promise((resolve) => {
      navigator.locks.request(`ipfs-kit-storage ${name} place`, () => new Promise((end) => resolve(end)));
    });
    const opening = kit.openStorage({ name });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    left();
    const storage = await opening;
    const [{ kind }] = (await storage.backendStatus()).backends;
    const text = new TextDecoder().decode(await storage.retrieve(cid));
    storage.close();
    return { kind, text, databases: (await indexedDB.databases()).filter((one) => one.name === name).length };
  });
  assert.deepEqual(result, { kind: 'opfs', text: 'first', databases: 0 });
});

test('what comes to be in OPFS while its database is about to be opened is not opened as one', async () => {
  const [page, owner] = [await harness.page(), await harness.page()];
  const name = 'meanwhile';
  await owner.evaluate(async (name) => (globalThis.storage = await kit.openStorage({ name })).store('held'), name);
  await page.evaluate((name) => {
    globalThis.Worker = undefined;
    const { storage } = navigator;
    const getDirectory = storage.getDirectory.bind(storage);
    // When it looks there is nothing yet.
    storage.getDirectory = async () => {
      storage.getDirectory = getDirectory;
      throw new DOMException('not yet', 'NotFoundError');
    };
    globalThis.opening = thrown(kit.openStorage({ name }));
  }, name);
  await owner.evaluate(() => storage.close());
  const result = await page.evaluate(async (name) => {
    const { name: error, code } = await opening;
    const again = await kit.openStorage({ name });
    const { blocks } = await again.backendStatus();
    again.close();
    return { error, code, blocks, databases: (await indexedDB.databases()).filter((one) => one.name === name).length };
  }, name);
  assert.deepEqual(result, { error: 'LockedError', code: 'locked', blocks: 1, databases: 0 });
});

test('a flipped bit in OPFS is reported, set aside, never returned, and healed by storing again', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'damage' });
    const { cid } = await storage.store(noise(3_000_000, 8));
    storage.close();
    const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('.ipfs-kit-storage');
    const segment = await (await home.getDirectoryHandle('store-damage')).getFileHandle('segment-00000001');
    for (let tries = 0; ; tries += 1) {
      try {
        const writable = await segment.createWritable({ keepExistingData: true });
        await writable.write({ type: 'write', position: 1_500_000, data: new Uint8Array([1, 2, 3]) });
        await writable.close();
        break;
      } catch (error) {
        if (tries > 50) throw error; // the worker is closing it
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    const again = await kit.openStorage({ name: 'damage' });
    const error = await thrown(again.retrieve(cid));
    const { quarantined } = await again.backendStatus();
    await again.store(noise(3_000_000, 8));
    const healed = indexedDB.cmp(await again.retrieve(cid), noise(3_000_000, 8)) === 0;
    again.close();
    return { error: error.name, quarantined, healed };
  });
  assert.deepEqual(result, { error: 'CorruptError', quarantined: 1, healed: true });
});
