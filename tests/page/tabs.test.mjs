// Several tabs and a worker on one store at the same time: they see each other's writes, and lose nothing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './harness.mjs';

/** What each of those that share a store does, in a page or in a worker. */
const PEER = `
  import { openStorage } from '/npm/index.js';
  export const MIB = 1 << 20;

  /** Bytes that only the seed decides. */
  export function noise(size, seed) {
    let state = seed >>> 0 || 1;
    return Uint8Array.from({ length: size }, () => {
      state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
      return state >>> 11;
    });
  }

  const parts = new Map();
  const part = (seed, size) => parts.get(seed) ?? parts.set(seed, noise(size, seed)).get(seed);

  /** A file of whole chunks, each one of a few, so that files share most of their blocks; and an end of its own. */
  export function content(recipe) {
    const pieces = recipe.chunks.map((seed) => part(seed, MIB));
    return new Blob([...pieces, noise(recipe.end, recipe.seed)]).arrayBuffer().then((buffer) => new Uint8Array(buffer));
  }

  /** Chunks of a file that is larger than what an import has under way before it writes. */
  export const many = Array.from({ length: 24 }, (_, at) => at + 1);

  const same = (one, other) => indexedDB.cmp(one, other) === 0;

  /**
   * Stores, deletes and reads at random. Each file is its owner's alone, for no two have the same end; and so few are kept
   * that a chunk often belongs to none, and to another soon.
   */
  export async function act({ name, peer, operations }) {
    const storage = await openStorage({ name, durability: 'relaxed' });
    const random = noise(operations * 8, peer + 1).values();
    const next = (below) => random.next().value % below;
    const kept = [];
    for (let n = 0; n < operations; n += 1) {
      const what = next(10);
      if (kept.length < 2 || what < 4) {
        const chunks = Array.from({ length: next(7) }, () => 1 + next(24)); // from 4 on some are written ahead
        const recipe = { chunks, end: 1000 + next(200), seed: peer * 10_000 + n };
        const { cid } = await storage.store(await content(recipe), { pin: next(4) === 0 && n % 2 === 0 });
        kept.push({ cid, recipe });
      } else if (what < 8) {
        const [{ cid }] = kept.splice(next(kept.length), 1);
        await storage.unpin(cid).catch(() => {});
        await storage.delete(cid);
        if ((await storage.stat(cid).catch(() => undefined))?.modified) throw new Error(\`\${cid} was deleted, and is there\`);
      } else {
        const { cid, recipe } = kept[next(kept.length)];
        if (!same(await storage.retrieve(cid), await content(recipe))) throw new Error(\`\${cid} is another now\`);
      }
    }
    storage.close();
    return kept;
  }

  /** What is wrong with files that must be there, and whatever else is listed. */
  export async function check({ name, kept }) {
    const storage = await openStorage({ name });
    await storage.configureCache({ memoryBytes: 0 });
    const wrong = [];
    for (const { cid, recipe } of kept) {
      const bytes = await storage.retrieve(cid).catch(String);
      if (typeof bytes === 'string' || !same(bytes, await content(recipe))) wrong.push([cid, String(bytes).slice(0, 100)]);
    }
    const listed = [];
    for await (const { cid } of storage.ls()) listed.push(cid);
    const { roots, quarantined } = await storage.backendStatus();
    storage.close();
    return { wrong, listed: listed.sort(), roots, quarantined };
  }
`;

const WORKER = `
  import * as peer from '/peer.js';
  onmessage = async ({ data: [call, argument] }) => {
    try {
      postMessage({ value: await peer[call](argument) });
    } catch (error) {
      postMessage({ error: String(error?.stack ?? error) });
    }
  };
  postMessage('ready');
`;

let harness;
before(async () => {
  harness = await open({ '/peer.js': PEER, '/worker.js': WORKER });
});
after(() => harness?.close());

/** A call of a peer's function in a page. */
const inPage = (page, call, argument) =>
  page.evaluate(async ([call, argument]) => (await import('/peer.js'))[call](argument), [call, argument]);

/** The same in a worker of that page. */
const inWorker = (page, call, argument) =>
  page.evaluate(
    ([call, argument]) =>
      new Promise((resolve, reject) => {
        const worker = new Worker('/worker.js', { type: 'module' });
        worker.onerror = (event) => reject(new Error(event.message));
        worker.onmessage = ({ data }) => {
          if (data === 'ready') return worker.postMessage([call, argument]);
          if (data.error) reject(new Error(data.error));
          else resolve(data.value);
        };
      }),
    [call, argument],
  );

test('two tabs and a worker store, delete and read shared content, and lose nothing', async () => {
  const [one, two] = [await harness.page(), await harness.page()];
  const peers = [[inPage, one], [inPage, two], [inWorker, two]];
  const name = 'at-random';
  for (let round = 0; round < 2; round += 1) {
    const acted = peers.map(([where, page], at) => where(page, 'act', { name: `${name}-${round}`, peer: round * 10 + at, operations: 60 }));
    const kept = (await Promise.all(acted)).flat();
    const cids = kept.map(({ cid }) => cid).sort();
    for (const [where, page] of peers) {
      const found = await where(page, 'check', { name: `${name}-${round}`, kept });
      assert.deepEqual(found, { wrong: [], listed: cids, roots: cids.length, quarantined: 0 });
    }
  }
});

test('what one does the others see', async () => {
  const [one, two] = [await harness.page(), await harness.page()];
  const opened = [one, two].map((page) => page.evaluate(async () => void (window.storage = await kit.openStorage({ name: 'seen' }))));
  await Promise.all(opened);
  const seen = (page, cid) =>
    page.evaluate(async (cid) => {
      const { files } = await storage.listFiles();
      const stat = await storage.stat(cid).catch(({ name }) => name);
      return { listed: files.some((file) => file.cid === cid), held: await storage.exists(cid), pinned: stat.pinned ?? stat };
    }, cid);
  const cid = await one.evaluate(async () => (await storage.store(noise(1_500_000, 1))).cid);
  assert.deepEqual(await seen(two, cid), { listed: true, held: true, pinned: false });
  assert.equal(await two.evaluate(async (cid) => (await storage.retrieve(cid)).length, cid), 1_500_000);
  await two.evaluate((cid) => storage.pin(cid), cid);
  assert.deepEqual(await seen(one, cid), { listed: true, held: true, pinned: true });
  const refused = await one.evaluate(async (cid) => (await thrown(storage.delete(cid)))?.code, cid);
  assert.equal(refused, 'denied');
  await one.evaluate((cid) => storage.unpin(cid), cid);
  await two.evaluate((cid) => storage.delete(cid), cid);
  for (const page of [one, two]) assert.deepEqual(await seen(page, cid), { listed: false, held: false, pinned: 'NotFoundError' });
});

/** Begins to store a large file in a page, all but its end, and says when its first parts are written. */
const storeSlowly = (page, name) =>
  page.evaluate(async (name) => {
    const { content, many, MIB } = await import('/peer.js');
    const shared = await content({ chunks: many, end: 0, seed: 1 });
    window.storage = await kit.openStorage({ name });
    const ended = new Promise((resolve) => (window.end = resolve));
    let taken;
    const begun = new Promise((resolve) => (taken = resolve));
    async function* source() {
      for (const at of many) yield shared.slice((at - 1) * MIB, at * MIB);
      taken();
      await ended;
      yield noise(100_000, 77);
    }
    window.storing = storage.store(source());
    await begun;
    await storage.flush(); // after what was written ahead
  }, name);

/** A file of the same blocks, stored in a page. */
const storeShared = (page, name) =>
  page.evaluate(async (name) => {
    const { content, many } = await import('/peer.js');
    window.storage = await kit.openStorage({ name });
    return (await storage.store(await content({ chunks: many, end: 5, seed: 5 }))).cid;
  }, name);

const remove = (page, cid) => page.evaluate((cid) => storage.delete(cid), cid);

for (const first of ['the deleted file', 'the file being stored']) {
  test(`a file stored slowly keeps the blocks that it shares with one deleted elsewhere; first was ${first}`, async () => {
    const name = `slowly, ${first}`;
    const [one, two] = [await harness.page(), await harness.page()];
    let cid;
    if (first === 'the deleted file') cid = await storeShared(two, name);
    await storeSlowly(one, name);
    cid ??= await storeShared(two, name);
    await remove(two, cid);
    const stored = await one.evaluate(async () => {
      end();
      return (await storing).cid;
    });
    for (const page of [one, two]) {
      const whole = await page.evaluate(async (cid) => {
        const { content, many } = await import('/peer.js');
        const expected = new Blob([await content({ chunks: many, end: 0, seed: 1 }), noise(100_000, 77)]);
        await storage.configureCache({ memoryBytes: 0 });
        return indexedDB.cmp(await storage.retrieve(cid), await expected.arrayBuffer()) === 0;
      }, stored);
      assert.equal(whole, true);
    }
  });
}

for (const how of ['closed', 'killed']) {
  test(`a tab that is ${how} while it stores does not hold up the deletions of others`, async () => {
    const name = `gone, ${how}`;
    const [one, two] = [await harness.page(), await harness.page()];
    const cid = await storeShared(two, name);
    await storeSlowly(one, name);
    if (how === 'closed') await one.close();
    else await crash(one);
    await remove(two, cid);
    // The blocks go with this deletion, or the first one after the locks of the dead tab are known to be free.
    for (let n = 1; ; n += 1) {
      const blocks = await two.evaluate(async (n) => {
        await storage.delete((await storage.store(noise(1000, n))).cid);
        return (await storage.backendStatus()).blocks;
      }, n);
      if (blocks === 0) break;
      assert.ok(n < 100, `${blocks} blocks of a deleted file are still there`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
}

async function crash(page) {
  const crashed = page.waitForEvent('crash');
  page.goto('chrome://crash').catch(() => {});
  await crashed;
}
