// Service workers, which have neither workers nor sync handles: a store in OPFS is that of the pages, and can be read without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './harness.mjs';

/** Answers /ask?call by what it finds in the store. */
const SERVICE = `
  import { openStorage } from '/npm/index.js';
  const noise = (size, seed) => {
    let state = seed >>> 0 || 1;
    return Uint8Array.from({ length: size }, () => {
      state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
      return state >>> 11;
    });
  };
  const WASM = '/npm/ipfs_kit_storage_bg.wasm';
  // Kept as the package's README has it: without a network nothing can be fetched.
  const start = async () => openStorage({ name: 'site', module: await (await caches.open('shell')).match(WASM) });
  let opened;
  const calls = {
    async read(cid, seed) {
      const storage = await (opened ??= start());
      const bytes = await storage.retrieve(cid);
      let streamed = 0;
      for await (const piece of storage.stream(cid)) streamed += piece.length;
      const range = await storage.retrieve(cid, { offset: bytes.length - 1000, length: 5000 });
      const { backends } = await storage.backendStatus();
      const same = indexedDB.cmp(bytes, noise(bytes.length, Number(seed))) === 0;
      return [same, streamed, range.length, backends[0].kind];
    },
    async list() {
      const storage = await (opened ??= start());
      let count = 0;
      for await (const _ of storage.ls()) count += 1;
      return count;
    },
    async write() {
      const storage = await (opened ??= start());
      return storage.store('from the service').then(({ cid }) => cid, ({ name }) => name);
    },
  };
  addEventListener('install', (event) => {
    event.waitUntil(caches.open('shell').then((shell) => shell.add(WASM)));
    skipWaiting();
  });
  addEventListener('activate', (event) => event.waitUntil(clients.claim()));
  addEventListener('fetch', (event) => {
    const { pathname, searchParams } = new URL(event.request.url);
    if (pathname !== '/ask') return;
    const [call, ...args] = searchParams.getAll('a');
    event.respondWith(calls[call](...args).then((said) => Response.json(said), (error) => Response.json(String(error))));
  });
`;
/** A page that opens no store. */
const BARE = '<!doctype html><title>bare</title>';

let harness;
before(async () => {
  harness = await open({ '/service.js': SERVICE, '/bare.html': BARE });
});
after(() => harness?.close());

const ask = (page, ...args) =>
  page.evaluate(async (args) => (await fetch(`/ask?${new URLSearchParams(args.map((arg) => ['a', arg]))}`)).json(), args);

test('a service worker reads what pages stored, with a page that has it open, without one, and offline', async () => {
  const bare = await harness.browser.newPage();
  await bare.goto(`${harness.origin}/bare.html`);
  await bare.evaluate(async () => {
    await navigator.serviceWorker.register('/service.js', { type: 'module' });
    await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
    }
  });
  const page = await harness.page();
  const cids = await page.evaluate(async () => {
    window.storage = await kit.openStorage({ name: 'site' });
    const small = Array.from({ length: 300 }, (_, at) => ({ data: noise(1000, at + 1000) }));
    const [{ cid }] = await storage.storeMany(small);
    return [(await storage.store(noise(12_000_000, 5))).cid, cid];
  });
  const expected = [
    [true, 12_000_000, 1000, 'opfs'],
    [true, 1000, 1000, 'opfs'],
  ];
  const both = async () => [await ask(bare, 'read', cids[0], 5), await ask(bare, 'read', cids[1], 1000)];
  assert.deepEqual(await both(), expected);
  // What it stores while a page is there, the page stores for it.
  assert.match(await ask(bare, 'write'), /^bafk/);
  assert.equal(await ask(bare, 'list'), 302);
  await page.close();
  await harness.browser.setOffline(true);
  assert.deepEqual(await both(), expected);
  assert.equal(await ask(bare, 'list'), 302);
  assert.equal(await ask(bare, 'write'), 'DeniedError');
  await harness.browser.setOffline(false);
  // A page comes and stores more; the service worker sees it, while it is there and after.
  const again = await harness.page();
  const later = await again.evaluate(async () => {
    window.storage = await kit.openStorage({ name: 'site' });
    return (await storage.store(noise(3_000_000, 6))).cid;
  });
  assert.deepEqual(await ask(bare, 'read', later, 6), [true, 3_000_000, 1000, 'opfs']);
  await again.close();
  assert.deepEqual(await ask(bare, 'read', later, 6), [true, 3_000_000, 1000, 'opfs']);
  assert.deepEqual(await both(), expected);
});
