// Helia and the package in one page: each gets blocks from the other.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { open } from '../harness.mjs';
import { bundle } from './bundle.mjs';

const HTML = '<!doctype html><meta charset="utf-8"><title>test</title><div id="mocha"></div><script type="module" src="/npm/test-bundle.js"></script>';

let harness;
let suite;

before(async () => {
  [harness, suite] = await Promise.all(
    ['page.js', 'suite.js'].map(async (entry) => open({ '/index.html': HTML, '/npm/test-bundle.js': await bundle(entry) })),
  );
});
after(() => Promise.all([harness?.close(), suite?.close()]));

test('a storage passes the contract suite of interface-blockstore', async () => {
  const page = await suite.page();
  await page.waitForFunction(() => window.results, undefined, { timeout: 120_000 });
  const { passed, failed } = await page.evaluate(() => window.results);
  assert.deepEqual(failed, []);
  assert.equal(passed.length, 18);
});

test('the types fit those of Helia', async () => {
  const run = promisify(execFile);
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const done = await run('npx', ['--no-install', 'tsc', '--project', 'tsconfig.json'], { cwd }).catch((error) => error);
  assert.equal(done.code ?? 0, 0, done.stdout);
});

test('a file comes from a Helia node, proven, and is kept', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const data = noise(5_000_000, 7);
    const node = await offlineHelia();
    const cid = await unixfs(node).addBytes(data, { profile: 'unixfs-v1-2025' });
    const storage = await kit.openStorage({ name: 'file', remotes: [both.helia(node)] });
    const before = await storage.backendStatus();
    const progress = [];
    const bytes = await storage.retrieve(cid, { onProgress: ({ done }) => progress.push(done) });
    const offline = await storage.retrieve(cid, { offline: true });
    const { size, pinned } = await storage.stat(cid);
    const stored = await storage.store(data);
    const { backends } = await storage.backendStatus();
    storage.close();
    await node.stop();
    return {
      same: same(bytes, data) && same(offline, data),
      cids: [cid.toString(), stored.cid],
      size,
      pinned,
      progress: progress.at(-1),
      states: [before, { backends }].map(({ backends }) => backends[1]),
    };
  });
  assert.equal(result.same, true);
  assert.equal(result.cids[0], result.cids[1]);
  assert.deepEqual([result.size, result.pinned, result.progress], [5_000_000, false, 5_000_000]);
  for (const { name, kind, state, checked } of result.states) {
    assert.deepEqual([name, kind, state], ['helia', 'helia', 'available']);
    assert.ok(checked > 0);
  }
  assert.ok(result.states[1].latency >= 0);
});

test('a directory comes from a Helia node as a whole', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const node = await offlineHelia();
    const files = [noise(3_000_000, 1), noise(10, 2), noise(0, 3)];
    const source = files.map((content, at) => ({ path: `dir/sub-${at % 2}/file-${at}`, content }));
    const cids = {};
    for await (const { path, cid } of importer(source, node.blockstore, { profile: 'unixfs-v1-2025' })) cids[path] = cid;
    const storage = await kit.openStorage({ name: 'directory', remotes: [both.helia(node, { name: 'mine' })] });
    await storage.pin(cids.dir);
    const [, { name }] = (await storage.backendStatus()).backends;
    await node.stop();
    const read = await Promise.all(source.map(({ path }) => storage.retrieve(cids[path], { offline: true })));
    // What is pinned is not taken apart, whoever asks.
    const refused = await thrown(both.blockstore(storage).delete(cids['dir/sub-1/file-1']));
    storage.close();
    return { same: read.every((bytes, at) => same(bytes, files[at])), name, refused };
  });
  assert.deepEqual([result.same, result.name], [true, 'mine']);
  assert.equal(result.refused.name, 'DeniedError');
});

test('a Helia node that lies is not asked again, and nothing of it is kept', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const node = await offlineHelia();
    const cid = await unixfs(node).addBytes(noise(3_000_000, 5), { profile: 'unixfs-v1-2025' });
    let asked = 0;
    const liar = {
      has: () => true,
      async *get(cid, options) {
        asked += 1;
        for await (const bytes of node.blockstore.get(cid, options)) yield bytes.map((byte) => byte ^ 1);
      },
    };
    const storage = await kit.openStorage({ name: 'lie', remotes: [both.helia(liar)] });
    const error = await thrown(storage.retrieve(cid));
    const before = asked;
    const again = await thrown(storage.retrieve(cid));
    const { blocks, backends } = await storage.backendStatus();
    storage.close();
    await node.stop();
    return { error, again, blocks, report: backends[1], before, asked };
  });
  assert.equal(result.error.name, 'UnavailableError');
  assert.match(result.error.attempts.map(({ reason }) => reason).join(), /do not hash/);
  assert.equal(result.again.name, 'UnavailableError');
  assert.equal(result.blocks, 0);
  assert.equal(result.report.state, 'disabled');
  assert.match(result.report.evidence, /do not hash/);
  assert.equal(result.asked, result.before);
});

test('what a Helia node does not have, or is too slow or not started to give, fails with the reason', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const missing = 'bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy';
    const node = await offlineHelia();
    const storage = await kit.openStorage({ name: 'missing', remotes: [both.helia(node)] });
    const began = performance.now();
    const nobody = await thrown(storage.retrieve(missing));
    const took = performance.now() - began;
    const works = (await storage.backendStatus()).backends[1];

    // One that keeps silent is told to stop as soon as another has answered.
    let told;
    const silent = {
      name: 'silent',
      get: (cid, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            told = true;
            reject(signal.reason);
          });
        }),
    };
    const two = await kit.openStorage({ name: 'silent', remotes: [silent, both.helia(node)] });
    const ended = await thrown(two.getBlock(missing, { signal: AbortSignal.timeout(300) }));
    const block = await unixfs(node).addBytes(noise(100, 3));
    const hedged = (await two.getBlock(block)).length;
    two.close();
    await node.stop();
    const wrong = await thrown(kit.openStorage({ name: 'wrong', remotes: [{ name: 'no get' }] }));
    const stopped = (await storage.backendStatus()).backends[1];
    storage.close();
    const other = await kit.openStorage({ name: 'other', remotes: [{ name: 'other', get: async () => undefined }] });
    const custom = (await other.backendStatus()).backends[1];
    other.close();
    return { nobody, took, works, stopped, ended, wrong, custom, told, hedged };
  });
  assert.equal(result.nobody.name, 'UnavailableError');
  assert.deepEqual(result.nobody.attempts, [{ remote: 'helia', reason: 'it does not have it' }]);
  assert.ok(result.took < 2000, `${result.took} ms`);
  assert.equal(result.works.state, 'available');
  assert.deepEqual([result.stopped.state, /stopped/.test(result.stopped.evidence)], ['unavailable', true]);
  assert.equal(result.ended.name, 'TimeoutError');
  assert.deepEqual([result.told, result.hedged], [true, 100]);
  assert.equal(result.wrong.name, 'InvalidArgumentError');
  assert.deepEqual([result.custom.kind, result.custom.state], ['custom', 'available']);
});

test('a blockstore proves what is put, takes any codec, and has nothing by hashes it does not know', async () => {
  const page = await harness.page();
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'proves' });
    const store = both.blockstore(storage);
    const bytes = noise(1000, 1);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const cid = (codec, code, digest) => CID.createV1(codec, { code, digest, size: digest.length, bytes: Uint8Array.of(code, digest.length, ...digest) });
    const jose = cid(0x85, 0x12, digest);
    const sha1 = cid(0x55, 0x11, new Uint8Array(20));
    const wrong = await thrown(store.put(jose, noise(1000, 2)));
    const before = await store.has(jose);
    const given = await store.put(jose, (async function* () {
      yield bytes.subarray(0, 10);
      yield bytes.subarray(10);
    })());
    const back = await collect(store.get(jose));
    const strange = [await store.has(sha1), await thrown(collect(store.get(sha1))), await thrown(store.put(sha1, bytes))];
    const { blocks } = await storage.backendStatus();
    storage.close();
    return { wrong, before, same: given === jose && same(back, bytes), strange, blocks };
  });
  assert.equal(result.wrong.name, 'IntegrityError');
  assert.deepEqual([result.before, result.same, result.blocks], [false, true, 1]);
  const [held, got, put] = result.strange;
  assert.deepEqual([held, got.name, put.name], [false, 'NotFoundError', 'InvalidCidError']);
});

test('a Helia node keeps its blocks in a storage, which reads them as files, also after a reload', async () => {
  let page = await harness.page();
  const added = await page.evaluate(async () => {
    const data = noise(6_000_000, 11);
    const storage = await kit.openStorage({ name: 'app' });
    const node = await offlineHelia(both.blockstore(storage));
    const fs = unixfs(node);
    const cid = await fs.addBytes(data, { profile: 'unixfs-v1-2025' });
    const back = await collect(fs.cat(cid));
    const here = await storage.retrieve(cid);
    const source = [{ path: 'one.bin', content: data }];
    const [entry] = await Array.fromAsync(importer(source, both.blockstore(storage), { profile: 'unixfs-v1-2025' }));
    const { roots } = await storage.backendStatus();
    await node.stop();
    storage.close();
    return { cid: cid.toString(), imported: entry.cid.toString(), same: same(back, data) && same(here, data), roots };
  });
  assert.equal(added.same, true);
  assert.equal(added.imported, added.cid);
  assert.equal(added.roots, 0);
  await page.reload();
  await page.waitForFunction(() => window.ready);
  const again = await page.evaluate(async (text) => {
    const data = noise(6_000_000, 11);
    const storage = await kit.openStorage({ name: 'app' });
    const node = await offlineHelia(both.blockstore(storage));
    const cid = CID.parse(text);
    const back = await collect(unixfs(node).cat(cid, { offline: true }));
    const here = await storage.retrieve(text);
    const stored = await storage.store(data);
    // Stored as a file, it is safe from whoever cleans up by blocks; without it, everything goes.
    const refused = await thrown(node.gc());
    const kept = await storage.exists(text);
    await storage.delete(text);
    await node.gc();
    const { blocks } = await storage.backendStatus();
    await node.stop();
    storage.close();
    return { same: same(back, data) && same(here, data), stored: stored.cid, refused, kept, blocks };
  }, added.cid);
  assert.equal(again.same, true);
  assert.equal(again.stored, added.cid);
  assert.equal(again.refused.name, 'DeniedError');
  assert.deepEqual([again.kept, again.blocks], [true, 0]);
});
