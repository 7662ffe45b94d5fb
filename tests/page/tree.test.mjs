// Names and the mutable tree in a browser, in one tab and in two at once.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './harness.mjs';

let harness;
before(async () => {
  harness = await open();
});
after(() => harness?.close());

const HELLO = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
const EMPTY = 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354';

const openIn = (page, name) => page.evaluate(async (name) => void (window.storage = await kit.openStorage({ name })), name);

test('names lead to CIDs, and are changed only if they lead where they are expected to', async () => {
  const page = await harness.page();
  await openIn(page, 'names');
  const result = await page.evaluate(async () => {
    const { cid } = await storage.store('hello world');
    const { cid: other } = await storage.store('another');
    const set = await storage.setName('a/greeting', cid, { expect: null });
    const conflicts = [
      await thrown(storage.setName('a/greeting', other, { expect: null })),
      await thrown(storage.setName('a/greeting', other, { expect: other })),
      await thrown(storage.removeName('a/greeting', { expect: other })),
    ];
    const key = await storage.setName('a/greeting', other, { expect: null }).catch(({ key }) => key);
    const kept = (await thrown(storage.delete(cid))).name;
    const missing = await thrown(storage.getName('b'));
    await storage.setName('b', { toString: () => other });
    const names = [];
    for await (const { name } of storage.names()) names.push(name);
    const page = await storage.listNames({ prefix: 'a/', limit: 1 });
    await storage.setName('a/greeting', other, { expect: cid });
    await storage.delete(cid);
    await storage.removeName('b');
    return { set, conflicts, key, kept, missing, names, page, now: await storage.getName('a/greeting'), other };
  });
  assert.deepEqual([result.set.name, result.set.cid], ['a/greeting', HELLO]);
  for (const conflict of result.conflicts) assert.deepEqual([conflict.name, conflict.code, conflict.typed], ['ConflictError', 'conflict', true]);
  assert.equal(result.key, 'a/greeting');
  assert.equal(result.kept, 'DeniedError');
  assert.deepEqual([result.missing.name, result.missing.path, result.missing.cid], ['NotFoundError', 'b', undefined]);
  assert.deepEqual(result.names, ['a/greeting', 'b']);
  assert.deepEqual(result.page, { names: [result.set], next: undefined });
  assert.equal(result.now.cid, result.other);
});

test('the tree is changed by paths, and is there when the page is loaded again', async () => {
  const page = await harness.page();
  await openIn(page, 'tree');
  const result = await page.evaluate(async () => {
    const { files } = storage;
    const empty = await files.flush();
    await files.write('/hello.txt', 'hello world', { create: true });
    const { cid } = await files.stat('/hello.txt');
    await files.mkdir('/a/b', { parents: true, mode: 0o700 });
    await files.cp('/hello.txt', '/a/b/');
    await files.cp(cid, '/a/linked');
    await files.mv('/hello.txt', '/moved.txt');
    await files.write('/a/linked', 'HELLO');
    await files.write('/a/linked', new Blob(['!']), { append: true });
    await files.truncate('/a/linked', 13);
    const text = async (path, options) => new TextDecoder().decode(await files.read(path, options));
    const linked = await text('/a/linked');
    const part = await text('/moved.txt', { offset: 6, length: 3 });
    await files.chmod('/moved.txt', 0o600);
    await files.touch('/moved.txt', { mtime: new Date(-1500) });
    const stat = await files.stat('/moved.txt');
    const entries = [];
    for await (const { filename, kind, size } of files.list('/a')) entries.push([filename, kind, size]);
    const pieces = (async function* () {
      for (let n = 0; n < 12; n += 1) yield noise(1 << 20, n + 1);
    })();
    await files.write('/large', pieces, { create: true });
    await files.write('/large', noise(100, 99), { offset: 5_000_000 });
    const large = await files.read('/large', { offset: 5_000_000, length: 100 });
    const same = indexedDB.cmp(large, noise(100, 99)) === 0;
    const errors = [
      await thrown(files.write('/none', 'x')),
      await thrown(files.mkdir('/a')),
      await thrown(files.rm('/a')),
      await thrown(files.write('/x', 'x', { created: true })),
    ].map(({ name }) => name);
    const roots = [];
    for await (const root of storage.ls()) roots.push(root);
    await files.rm('/large');
    return { empty, cid, linked, part, stat, entries, same, errors, roots, root: await files.flush(), history: (await files.history()).length };
  });
  assert.equal(result.empty, EMPTY);
  assert.equal(result.cid, HELLO);
  assert.equal(result.linked, 'HELLO world!\0');
  assert.equal(result.part, 'wor');
  const { kind, size, mode, mtime } = result.stat;
  assert.deepEqual({ kind, size, mode, mtime }, { kind: 'file', size: 11, mode: 0o600, mtime: -1500 });
  assert.deepEqual(result.entries, [['b', 'directory', undefined], ['linked', 'file', 13]]);
  assert.equal(result.same, true);
  assert.deepEqual(result.errors, ['NotFoundError', 'DeniedError', 'InvalidArgumentError', 'InvalidArgumentError']);
  assert.deepEqual(result.roots, [], 'what is in the tree is no stored root');
  assert.ok(result.history > 3);
  await page.reload();
  await page.waitForFunction(() => window.ready);
  await openIn(page, 'tree');
  assert.equal(await page.evaluate(() => storage.files.flush()), result.root);
});

test('of what two tabs change at once nothing is lost', async () => {
  const [one, two] = [await harness.page(), await harness.page()];
  await Promise.all([one, two].map((page) => openIn(page, 'both')));
  await one.evaluate(() => storage.files.write('/log', '', { create: true }));
  const changed = [one, two].map((page, tab) =>
    page.evaluate(async (tab) => {
      let conflicts = 0;
      for (let n = 0; n < 20; n += 1) {
        await storage.files.write(`/tab-${tab}-${n}`, `${tab} ${n}`, { create: true });
        await storage.files.write('/log', String(tab), { append: true });
        // A counter that each counts up from what it saw.
        for (;;) {
          const seen = await storage.getName('count').catch(() => undefined);
          const next = (seen ? Number(new TextDecoder().decode(await storage.retrieve(seen.cid))) : 0) + 1;
          const { cid } = await storage.store(String(next));
          const error = await storage.setName('count', cid, { expect: seen?.cid ?? null }).catch((error) => error);
          if (!(error instanceof kit.ConflictError)) break;
          conflicts += 1;
        }
      }
      return conflicts;
    }, tab),
  );
  const conflicts = await Promise.all(changed);
  for (const page of [one, two]) {
    const found = await page.evaluate(async () => {
      const entries = [];
      for await (const { filename } of storage.files.list()) entries.push(filename);
      const text = (bytes) => new TextDecoder().decode(bytes);
      const count = text(await storage.retrieve((await storage.getName('count')).cid));
      return { entries: entries.length, log: text(await storage.files.read('/log')), count };
    });
    assert.equal(found.entries, 41);
    assert.equal(found.count, '40');
    assert.deepEqual([...found.log].sort().join(''), '0'.repeat(20) + '1'.repeat(20));
  }
  assert.ok(conflicts[0] + conflicts[1] > 0, 'they did not get in each other\'s way');
});
