// Fetching from gateways in a page: what comes, what is kept, and what is said when nothing comes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gateway } from './gateway.mjs';
import { open } from './harness.mjs';

let harness;
let good;
let bad;

before(async () => {
  harness = await open();
  good = await gateway('file1048577-chunk1024-v1.car', 'dir3-v1.car');
  bad = await gateway('file1048577-chunk1024-v1.car', 'dir3-v1.car');
});
after(() => {
  good?.close();
  bad?.close();
  return harness?.close();
});

test('a file that is not held comes from a gateway, and is kept', async () => {
  const page = await harness.page();
  const [cid] = good.roots;
  good.state.requests = [];
  const result = await page.evaluate(
    async ({ url, cid }) => {
      const storage = await kit.openStorage({ name: 'fetch', remotes: [url] });
      const bytes = await storage.retrieve(cid);
      const same = indexedDB.cmp(bytes, rule(1_048_577)) === 0;
      const { size, pinned, filename } = await storage.stat(cid);
      const status = await storage.backendStatus();
      const available = storage.isAvailable();
      storage.close();
      const offline = await kit.openStorage({ name: 'fetch' });
      const again = (await offline.retrieve(cid)).length;
      offline.close();
      return { same, size, pinned, filename, again, available, localOnly: status.localOnly, backends: status.backends };
    },
    { url: good.url, cid },
  );
  assert.equal(result.same, true);
  assert.deepEqual([result.size, result.pinned, result.filename], [1_048_577, false, undefined]);
  assert.equal(result.again, 1_048_577);
  assert.equal(result.localOnly, undefined);
  assert.equal(result.available, true);
  assert.deepEqual(result.backends.map(({ name, state }) => [name, state]), [['local', 'available'], [good.url, 'available']]);
  assert.equal(good.state.requests.filter((url) => url.includes('format=car')).length, 1);
});

test('a file in a directory comes by its path, with one request', async () => {
  const page = await harness.page();
  const root = good.roots[1];
  good.state.requests = [];
  const result = await page.evaluate(
    async ({ url, root }) => {
      const storage = await kit.openStorage({ name: 'path', remotes: [url] });
      const same = indexedDB.cmp(await storage.retrieve(`${root}/b.bin`), rule(4096)) === 0;
      const { blocks } = await storage.backendStatus();
      const range = await storage.retrieve(`/ipfs/${root}/b.bin`, { offset: 7, length: 5, offline: true });
      const streamed = await new Response(storage.stream(`ipfs://${root}/b%2Ebin`)).arrayBuffer();
      const missing = await thrown(storage.retrieve(`${root}/none`));
      const directory = await thrown(storage.retrieve(root));
      const upwards = await thrown(storage.retrieve(`${root}/../b.bin`));
      const offline = await thrown(storage.retrieve(`${root}/a.txt`, { offline: true }));
      storage.close();
      return { same, blocks, range: [...range], streamed: streamed.byteLength, missing, directory, upwards, offline };
    },
    { url: good.url, root },
  );
  assert.equal(result.same, true);
  assert.equal(result.blocks, 2);
  assert.deepEqual(result.range, [7, 8, 9, 10, 11].map((at) => (at * 31 + 7) % 256));
  assert.equal(result.streamed, 4096);
  const requests = good.state.requests.filter((url) => !url.includes('bafkqaaa'));
  assert.equal(requests.length, 1);
  assert.ok(requests[0].startsWith(`/ipfs/${root}/b.bin?format=car&dag-scope=entity&entity-bytes=0:*&`));
  assert.deepEqual(
    [result.missing.name, result.missing.cid, result.missing.path],
    ['NotFoundError', root, `${root}/none`],
  );
  assert.deepEqual([result.directory.name, result.upwards.name], ['UnsupportedError', 'InvalidArgumentError']);
  assert.equal(result.offline.name, 'NotAvailableOfflineError');
});

test('pinning a directory fetches all of it, with one request', async () => {
  const page = await harness.page();
  const cid = good.roots[1];
  good.state.requests = [];
  const result = await page.evaluate(
    async ({ url, cid }) => {
      const storage = await kit.openStorage({ name: 'pin', remotes: [url] });
      await storage.pin(cid);
      const { pinned } = await storage.stat(cid);
      const { blocks } = await storage.backendStatus();
      storage.close();
      return { pinned, blocks };
    },
    { url: good.url, cid },
  );
  assert.equal(result.pinned, true);
  assert.ok(result.blocks >= 4);
  assert.equal(good.state.requests.filter((url) => url.includes('format=car')).length, 1);
});

test('a gateway that lies is struck out, and another gives the file', async () => {
  const page = await harness.page();
  const [cid] = good.roots;
  bad.state.fault = 'lie';
  const result = await page.evaluate(
    async ({ urls, cid }) => {
      const storage = await kit.openStorage({ name: 'lie', remotes: urls });
      const same = indexedDB.cmp(await storage.retrieve(cid), rule(1_048_577)) === 0;
      const { backends, quarantined } = await storage.backendStatus();
      storage.close();
      return { same, quarantined, states: backends.map(({ state, evidence }) => [state, evidence]) };
    },
    { urls: [bad.url, good.url], cid },
  );
  assert.equal(result.same, true);
  assert.equal(result.quarantined, 0);
  assert.equal(result.states[1][0], 'disabled');
  assert.match(result.states[1][1], /do not hash/);
});

test('what nobody gives fails with who was asked, and what may not be asked at once', async () => {
  const page = await harness.page();
  const [cid] = good.roots;
  bad.state.fault = 'status';
  bad.state.requests = [];
  const result = await page.evaluate(
    async ({ url, cid }) => {
      const storage = await kit.openStorage({ name: 'fails', remotes: [url] });
      const offline = await thrown(storage.retrieve(cid, { offline: true }));
      const failed = await thrown(storage.retrieve(cid));
      storage.close();
      const forced = await kit.openStorage({ name: 'fails', remotes: [url], forceFallback: true });
      const never = await thrown(forced.retrieve(cid));
      const { localOnly } = await forced.backendStatus();
      forced.close();
      const wrong = await thrown(kit.openStorage({ name: 'fails', remotes: ['ftp://example.org'] }));
      return { offline, failed, never, localOnly, wrong };
    },
    { url: bad.url, cid },
  );
  assert.deepEqual([result.offline.name, result.offline.reason], ['NotAvailableOfflineError', 'requested']);
  assert.equal(result.failed.name, 'UnavailableError');
  assert.equal(result.failed.attempts[0].remote, bad.url);
  assert.match(result.failed.attempts[0].reason, /status 500/);
  assert.deepEqual([result.never.name, result.never.reason], ['NotAvailableOfflineError', 'force-fallback']);
  assert.equal(result.localOnly, 'force-fallback');
  assert.equal(result.wrong.name, 'InvalidArgumentError');
  assert.ok(bad.state.requests.length > 1, 'a passing failure is tried again');
});

test('a browser that is not connected says so at once, and local work goes on', async () => {
  const page = await harness.page();
  const [cid] = good.roots;
  await page.evaluate(async (url) => {
    window.storage = await kit.openStorage({ name: 'disconnected', remotes: [url] });
  }, good.url);
  await page.context().setOffline(true);
  try {
    const result = await page.evaluate(async (cid) => {
      const error = await thrown(window.storage.retrieve(cid));
      const here = await window.storage.store('here');
      const { localOnly } = await window.storage.backendStatus();
      return { error, localOnly, bytes: (await window.storage.retrieve(here.cid)).length };
    }, cid);
    assert.deepEqual([result.error.name, result.error.reason], ['NotAvailableOfflineError', 'disconnected']);
    assert.deepEqual([result.localOnly, result.bytes], ['disconnected', 4]);
  } finally {
    await page.context().setOffline(false);
  }
  const length = await page.evaluate(async (cid) => (await window.storage.retrieve(cid)).length, cid);
  assert.equal(length, 1_048_577);
});
