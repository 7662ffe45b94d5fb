// The verbs, from a page in headless Chromium over real IndexedDB.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { open, ROOT, TIER } from './harness.mjs';

let harness;
let page;

before(async () => {
  harness = await open();
  page = await harness.page();
});
after(() => harness?.close());

test('files have the CIDs that Kubo gives', async () => {
  const { variants } = JSON.parse(await readFile(join(ROOT, 'tests/vectors/unixfs-cids.json')));
  let checked = 0;
  for (const profile of ['unixfs-v1-2025', 'unixfs-v0-2015']) {
    for (const [size, cid] of Object.entries(variants[profile].files)) {
      const made = await page.evaluate(
        async ([profile, size]) => {
          const storage = await kit.openStorage({ name: 'vectors' });
          const { cid } = await storage.store(rule(size), { layout: { profile } });
          const same = (await sha(await storage.retrieve(cid))) === (await sha(rule(size)));
          storage.close();
          return { cid, same };
        },
        [profile, Number(size)],
      );
      assert.deepEqual(made, { cid, same: true }, `${profile}, ${size} bytes`);
      checked += 1;
    }
  }
  assert.equal(checked, 16);
});

test('every kind of data gives the same CID', async () => {
  const cids = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'kinds' });
    const bytes = noise(9_500_000, 7);
    const view = new DataView(bytes.buffer.slice(0));
    async function* iterable() {
      for (let at = 0; at < bytes.length; at += 777_777) yield bytes.subarray(at, at + 777_777);
    }
    const kinds = {
      bytes,
      buffer: bytes.buffer.slice(0),
      view,
      blob: new Blob([bytes]),
      file: new File([bytes], 'named.bin'),
      stream: new Blob([bytes]).stream(),
      iterable: iterable(),
      array: [bytes.subarray(0, 5_000_000), bytes.subarray(5_000_000)],
    };
    const cids = {};
    for (const [kind, data] of Object.entries(kinds)) cids[kind] = (await storage.store(data)).cid;
    cids.text = (await storage.store('hello world')).cid;
    const info = await storage.stat(cids.file);
    const wrong = await Promise.all([thrown(storage.store(42)), thrown(storage.store(undefined)), thrown(storage.store([1, 2]))]);
    storage.close();
    return { cids, info, wrong };
  });
  const { text, ...rest } = cids.cids;
  assert.equal(text, 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e');
  assert.equal(new Set(Object.values(rest)).size, 1, JSON.stringify(rest));
  assert.equal(cids.info.size, 9_500_000);
  for (const error of cids.wrong) assert.equal(error?.code, 'invalid-argument');
});

test('a picked file is stored by its name, and read back by ranges', async () => {
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i ^ (i >> 7)) & 255));
  const path = join(harness.profile, 'picked file.bin');
  await writeFile(path, bytes);
  await page.setInputFiles('#file', path);
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'picked' });
    const steps = [];
    const [file] = document.querySelector('#file').files;
    const info = await storage.store(file, { pin: true, onProgress: (step) => steps.push(step) });
    const ranges = [];
    for (const [offset, length] of [[0, 10], [1_048_570, 12], [2_999_999, 5], [3_000_000, 1], [5, 0], [10, undefined]]) {
      ranges.push([...(await storage.retrieve(info.cid, { offset, length })).slice(0, 64)]);
    }
    const streamed = [];
    const reading = [];
    for await (const piece of storage.stream(info.cid, { offset: 100, length: 2_000_000, onProgress: (step) => reading.push(step) })) {
      streamed.push(piece);
    }
    const bad = await Promise.all([-1, 0.5, NaN].map((offset) => thrown(storage.retrieve(info.cid, { offset }))));
    storage.close();
    return { info, steps, ranges, streamed: streamed.reduce((sum, piece) => sum + piece.length, 0), hash: await sha(await new Blob(streamed).arrayBuffer()), reading, bad };
  });
  assert.equal(result.info.filename, 'picked file.bin');
  assert.equal(result.info.pinned, true);
  assert.deepEqual(result.steps.at(-1), { done: 3_000_000, total: 3_000_000 });
  const slice = (from, to) => [...bytes.subarray(from, Math.min(to, from + 64))];
  assert.deepEqual(result.ranges, [slice(0, 10), slice(1_048_570, 1_048_582), slice(2_999_999, 3_000_000), [], [], slice(10, 3_000_000)]);
  assert.equal(result.streamed, 2_000_000);
  assert.deepEqual(result.reading.at(-1), { done: 2_000_000, total: 2_000_000 });
  const hash = await page.evaluate(async (part) => sha(Uint8Array.from(part)), [...bytes.subarray(100, 2_000_100)]);
  assert.equal(result.hash, hash);
  assert.deepEqual(result.bad.map((error) => error?.code), ['invalid-argument', 'invalid-argument', 'invalid-argument']);
});

test('roots are listed, pinned, unpinned and deleted', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'roots' });
    const stored = await storage.storeMany(
      Array.from({ length: 25 }, (_, n) => ({ data: `file ${n}`, filename: `f${n}.txt`, pin: n === 3 })),
    );
    const first = await storage.listFiles('/', { limit: 10 });
    const second = await storage.listFiles('/', { limit: 10, after: first.next });
    const all = [];
    for await (const file of storage.ls()) all.push(file.cid);
    const pinned = stored[3].cid;
    const denied = await thrown(storage.delete(pinned));
    await storage.unpin(pinned);
    await storage.delete(pinned);
    const gone = {
      exists: await storage.exists(pinned),
      stat: await thrown(storage.stat(pinned)),
      retrieve: await thrown(storage.retrieve(pinned)),
      again: await thrown(storage.delete(pinned)),
    };
    await storage.pin(stored[4].cid);
    const status = await storage.backendStatus();
    const elsewhere = await thrown(storage.listFiles('/photos'));
    storage.close();
    const closed = await thrown(storage.stat(pinned));
    return { stored, first, second, all, denied, gone, status, elsewhere, closed };
  });
  assert.equal(result.stored.length, 25);
  assert.equal(result.first.files.length, 10);
  assert.equal(new Set([...result.first.files, ...result.second.files].map((file) => file.cid)).size, 20);
  assert.deepEqual(result.all, result.stored.map((file) => file.cid).sort());
  assert.equal(result.denied.name, 'DeniedError');
  assert.equal(result.gone.exists, false);
  assert.equal(result.gone.stat.name, 'NotFoundError');
  assert.equal(result.gone.retrieve.name, 'NotAvailableOfflineError');
  assert.equal(result.gone.again.name, 'NotFoundError');
  assert.equal(result.status.roots, 24);
  assert.equal(result.status.blocks, 24);
  assert.equal(result.status.pinned, 1);
  assert.equal(result.status.localOnly, 'no-remotes');
  assert.deepEqual([result.status.backends[0].kind, result.status.backends[0].state], [TIER, 'available']);
  assert.equal(result.elsewhere.name, 'InvalidCidError');
  assert.equal(result.closed.name, 'CancelledError');
});

test('pins have a name, labels, an end and a size, and are listed', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'pins' });
    const { cid } = await storage.store(noise(3_000_000, 3));
    const expires = Date.now() + 60_000;
    const labels = { owner: 'me', toString: 'é' };
    const made = await storage.pin(cid, { name: 'the model', labels, expires: new Date(expires) });
    const status = await storage.backendStatus();
    const many = await storage.storeMany(Array.from({ length: 25 }, (_, n) => ({ data: `file ${n}`, pin: true })));
    const first = await storage.listPins({ limit: 20 });
    const second = await storage.listPins({ limit: 20, after: first.next });
    const all = [];
    for await (const pin of storage.pins()) all.push(pin);
    const wrong = [];
    const past = new Date(Date.now() - 1);
    for (const options of [{ kind: 'all' }, { labels: { one: 1 } }, { labels: 'one' }, { name: 7 }, { named: 'x' }, { expires: past },
      { expires: 'soon' }, { expires: new Date(NaN) }, { name: 'n'.repeat(1025) }]) wrong.push(await thrown(storage.pin(cid, options)));
    wrong.push(await thrown(storage.listPins({ limit: 0 })), await thrown(storage.listPins({ after: 'x' })));
    const part = await thrown(storage.pin(cid, { kind: 'direct' }));
    const denied = await thrown(storage.delete(cid));
    await storage.delete(cid, { force: true });
    const exists = await storage.exists(cid);
    // One block alone, which is no stored file.
    const shared = noise(2_000_000, 4);
    const block = (await storage.store(shared.subarray(0, 2 ** 20))).cid;
    const file = (await storage.store(shared)).cid;
    await storage.delete(block);
    const direct = await storage.pin(block, { kind: 'direct' });
    await storage.delete(file);
    const kept = [await storage.exists(block), (await storage.stat(block)).modified, await thrown(storage.delete(block, { force: true }))];
    await storage.unpin(block);
    const gone = await thrown(storage.unpin(block));
    storage.close();
    return { cid, expires, made, status, many, first, second, all, wrong, part, denied, exists, direct, kept, gone };
  });
  const { made, all, direct, kept } = result;
  const { created, ...rest } = made;
  assert.ok(Math.abs(created - result.expires) < 120_000, `${created}`);
  assert.deepEqual(rest, {
    cid: result.cid, kind: 'recursive', name: 'the model', labels: { owner: 'me', toString: 'é' }, expires: result.expires, pending: false,
    blocks: 4, bytes: result.status.bytes,
  });
  assert.deepEqual(all.find(({ cid }) => cid === made.cid), made);
  assert.deepEqual(all.map(({ cid }) => cid), [result.cid, ...result.many.map(({ cid }) => cid)].sort());
  assert.deepEqual([...result.first.pins, ...result.second.pins], all);
  assert.deepEqual([result.first.pins.length, result.second.next], [20, undefined]);
  for (const { cid } of result.many) {
    const { blocks, bytes } = all.find((pin) => pin.cid === cid);
    assert.equal(blocks, 1);
    assert.ok(bytes === 6 || bytes === 7, `${bytes} bytes`);
  }
  const names = result.wrong.map((error) => error?.name);
  assert.equal(names.pop(), 'InvalidCidError');
  assert.deepEqual([...new Set(names)], ['InvalidArgumentError'], JSON.stringify(names));
  assert.deepEqual([result.part.name, result.denied.name, result.exists], ['DeniedError', 'DeniedError', false]);
  assert.deepEqual([direct.kind, direct.blocks, direct.bytes], ['direct', 1, 2 ** 20]);
  assert.deepEqual([kept[0], kept[1], kept[2].name, result.gone.name], [true, undefined, 'NotFoundError', 'NotFoundError']);
});

test('the policy says what stays in memory', async () => {
  const hits = await page.evaluate(async () => {
    const hits = {};
    for (const policy of ['lru', 'lfu', 'arc']) {
      const storage = await kit.openStorage({ name: `policy ${policy}` });
      await storage.configureCache({ memoryBytes: 3000, policy });
      const [first, ...others] = await storage.storeMany(Array.from({ length: 8 }, (_, n) => ({ data: noise(1000, n + 1) })));
      // The first is read often, and then each of the others once.
      for (const { cid } of [first, first, first, first, first, ...others]) await storage.retrieve(cid);
      const before = (await storage.backendStatus()).memoryHits;
      await storage.retrieve(first.cid);
      hits[policy] = (await storage.backendStatus()).memoryHits > before;
      storage.close();
    }
    return hits;
  });
  assert.deepEqual(hits, { lru: false, lfu: true, arc: true });
});

test('texts that are no CIDs are refused, by every verb', async () => {
  const valid = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
  const texts = ['', ' ', '../x', '/etc/passwd', `/ipfs/${valid}`, `${valid} `, valid.toUpperCase().slice(1), `!${valid}`, 'x'.repeat(5000),
    'QmNotACid', 'bafy'.padEnd(60, 'a'), 'bagaaaaa', valid.slice(0, -3)];
  const outcome = await page.evaluate(
    async ([texts]) => {
      const storage = await kit.openStorage({ name: 'bad-cids' });
      const codes = [];
      for (const text of texts) {
        for (const verb of ['retrieve', 'stat', 'exists', 'delete', 'pin', 'unpin']) {
          codes.push([text.slice(0, 80), verb, (await thrown(storage[verb](text)))?.name]);
        }
      }
      storage.close();
      return codes;
    },
    [texts],
  );
  assert.equal(outcome.length, texts.length * 6);
  for (const [text, verb, name] of outcome) {
    // These two take paths.
    const missing = { retrieve: 'NotAvailableOfflineError', stat: 'NotFoundError' };
    const expected = (text.startsWith('/ipfs/') && missing[verb]) || 'InvalidCidError';
    assert.equal(name, expected, `${verb}(${JSON.stringify(text)})`);
  }
});

test('what needs the network fails at once, and says why', async () => {
  const reasons = await page.evaluate(async () => {
    const missing = 'bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy';
    const reasons = [];
    for (const options of [{}, { forceFallback: true }]) {
      const storage = await kit.openStorage({ name: 'offline', ...options });
      reasons.push(await thrown(storage.retrieve(missing)), await thrown(storage.pin(missing)), storage.isAvailable());
      storage.close();
    }
    globalThis.IPFS_KIT_DISABLE = 'true';
    const storage = await kit.openStorage({ name: 'offline' });
    delete globalThis.IPFS_KIT_DISABLE;
    reasons.push(await thrown(storage.retrieve(missing)));
    const { cid } = await storage.store('works all the same');
    reasons.push(new TextDecoder().decode(await storage.retrieve({ toString: () => cid })));
    storage.close();
    return reasons;
  });
  const expected = ['no-remotes', 'no-remotes', false, 'force-fallback', 'force-fallback', false, 'disabled', 'works all the same'];
  assert.deepEqual(reasons.map((one) => one?.reason ?? one), expected);
  assert.equal(reasons[0].name, 'NotAvailableOfflineError');
  assert.equal(reasons[0].typed, true);
});

test('an aborted store leaves nothing behind', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'aborted' });
    const kept = await storage.store(noise(3_000_000, 1), { filename: 'kept' });
    const before = await storage.backendStatus();
    const stop = new AbortController();
    let told = 0;
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(noise(1_000_000, (told += 1))) });
    const late = thrown(storage.store(endless, { signal: stop.signal, onProgress: ({ done }) => done > 20_000_000 && stop.abort() }));
    const error = await late;
    const already = await thrown(storage.store('x', { signal: AbortSignal.abort(new TypeError('mine')) }));
    const never = new ReadableStream({ pull: () => new Promise(() => {}) });
    const stalled = await thrown(storage.store(never, { signal: AbortSignal.timeout(50) }));
    const after = await storage.backendStatus();
    const whole = (await storage.retrieve(kept.cid)).length;
    storage.close();
    return { error, already, stalled, before, after, whole };
  });
  assert.equal(result.error.name, 'AbortError');
  assert.equal(result.already.message, 'mine');
  assert.equal(result.stalled.name, 'TimeoutError');
  assert.deepEqual([result.after.blocks, result.after.bytes, result.after.roots], [result.before.blocks, result.before.bytes, 1]);
  assert.equal(result.whole, 3_000_000);
});

test('an aborted store does not wait for a source that stalls', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'stalled' });
    const returned = [];
    async function* generator() {
      yield noise(1_000_000, 1);
      await new Promise(() => {});
    }
    // Of a generator that stalls, `return` waits for ever.
    const watched = (name, source) => ({
      [Symbol.asyncIterator]: () => ({
        next: () => source.next(),
        return: () => (returned.push(name), source.return?.()),
      }),
    });
    const never = { next: () => new Promise(() => {}), return: () => { throw new TypeError('not mine'); } };
    const errors = [];
    for (const source of [generator(), watched('generator', generator()), watched('never', never)]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(new RangeError('mine')), 50);
      const hangs = new Promise((resolve) => setTimeout(resolve, 5000, { message: 'it hangs' }));
      errors.push((await Promise.race([thrown(storage.store(source, { signal: stop.signal })), hangs]))?.message);
    }
    // One that never stalls is aborted while the engine writes.
    let given = 0;
    async function* endless() {
      for (;;) yield new Uint8Array(1_000_000).fill((given += 1));
    }
    errors.push((await thrown(storage.store(endless(), { signal: AbortSignal.timeout(50) })))?.name);
    const { blocks } = await storage.backendStatus();
    storage.close();
    return { errors, returned, given, blocks };
  });
  assert.deepEqual(result.errors, ['mine', 'mine', 'mine', 'TimeoutError']);
  assert.deepEqual(result.returned, ['generator', 'never']);
  assert.ok(result.given > 0);
  assert.equal(result.blocks, 0);
});

/** Runs `use(storage, cid)` in the page; of the readers that it opens, tells how many were freed, and how many not well. */
async function withReaders(use) {
  return page.evaluate(`(async () => {
    const { Engine, Reader } = await import('/npm/ipfs_kit_storage.js');
    const { reader } = Engine.prototype;
    const { free } = Reader.prototype;
    const readers = { opened: 0, freed: 0, failed: 0 };
    Engine.prototype.reader = async function (...range) {
      const opened = await reader.apply(this, range);
      readers.opened += 1;
      return opened;
    };
    Reader.prototype.free = function () {
      readers.failed += 1;
      free.call(this);
      readers.failed -= 1;
      readers.freed += 1;
    };
    const unhandled = [];
    const note = ({ reason }) => unhandled.push(String(reason));
    addEventListener('unhandledrejection', note);
    const storage = await kit.openStorage({ name: 'readers', tier: 'indexeddb' });
    try {
      await storage.configureCache({ memoryBytes: 0 });
      const { cid } = await storage.store(new Uint8Array(20_000_000).map((_, at) => at >> 20));
      const result = await (${use})(storage, cid);
      // Freed when the call under way has ended, some time after the caller was told.
      await new Promise((resolve) => setTimeout(resolve, 500));
      return { result, readers, unhandled };
    } finally {
      Engine.prototype.reader = reader;
      Reader.prototype.free = free;
      removeEventListener('unhandledrejection', note);
      storage.close();
    }
  })()`);
}

test('a retrieve is aborted while it reads, or opens', async () => {
  const { result, readers, unhandled } = await withReaders(async (storage, cid) => {
    const stop = new AbortController();
    const steps = [];
    const onProgress = ({ done }) => {
      steps.push(done);
      setTimeout(() => stop.abort(new RangeError('mine')));
    };
    const reading = await thrown(storage.retrieve(cid, { signal: stop.signal, onProgress }));
    const told = steps.length;
    const early = new AbortController();
    const opening = thrown(storage.retrieve(cid, { signal: early.signal }));
    early.abort();
    const refused = await thrown(storage.retrieve(cid, { onProgress: () => { throw new TypeError('no progress'); } }));
    const whole = (await storage.retrieve(cid, { signal: new AbortController().signal })).length;
    return { reading, opening: await opening, refused, whole, later: steps.length - told };
  });
  assert.equal(result.reading.message, 'mine');
  assert.equal(result.opening.name, 'AbortError');
  assert.equal(result.refused.message, 'no progress');
  assert.equal(result.whole, 20_000_000);
  assert.equal(result.later, 0);
  // The one that was aborted while it opened never did.
  assert.deepEqual(readers, { opened: 3, freed: 3, failed: 0 });
  assert.deepEqual(unhandled, []);
});

test('a stream is cancelled while it reads, or opens', async () => {
  const { result, readers, unhandled } = await withReaders(async (storage, cid) => {
    const reader = storage.stream(cid).getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve)); // the pull before has ended
    const last = reader.read();
    const cancelled = await thrown(reader.cancel());
    const idle = storage.stream(cid).getReader();
    await idle.read();
    const between = await thrown(idle.cancel());
    const early = await thrown(storage.stream(cid).cancel());
    return { cancelled, last: (await last).done, between, early };
  });
  assert.deepEqual(result, { cancelled: undefined, last: true, between: undefined, early: undefined });
  assert.deepEqual(readers, { opened: 2, freed: 2, failed: 0 });
  assert.deepEqual(unhandled, []);
});

test('a stream is aborted while it reads, or opens', async () => {
  const { result, readers, unhandled } = await withReaders(async (storage, cid) => {
    const stop = new AbortController();
    const reader = storage.stream(cid, { signal: stop.signal }).getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve));
    const reading = thrown(reader.read());
    stop.abort(new RangeError('mine'));
    const early = new AbortController();
    const opening = thrown(storage.stream(cid, { signal: early.signal }).getReader().read());
    early.abort();
    return { reading: await reading, opening: await opening };
  });
  assert.equal(result.reading.message, 'mine');
  assert.equal(result.opening.name, 'AbortError');
  assert.deepEqual(readers, { opened: 1, freed: 1, failed: 0 });
  assert.deepEqual(unhandled, []);
});

test('a stream that ends, or fails, frees its reader', async () => {
  const ended = await withReaders(async (storage, cid) => {
    let bytes = 0;
    for await (const piece of storage.stream(cid)) bytes += piece.length;
    return bytes;
  });
  assert.deepEqual(ended, { result: 20_000_000, readers: { opened: 1, freed: 1, failed: 0 }, unhandled: [] });
  const { result, readers, unhandled } = await withReaders(async (storage, cid) => {
    const onProgress = () => { throw new TypeError('no progress'); };
    const refused = await thrown(storage.stream(cid, { onProgress }).getReader().read());
    const reader = storage.stream(cid).getReader();
    await reader.read();
    storage.close();
    const closed = await thrown((async () => { while (!(await reader.read()).done); })());
    return { refused, closed };
  });
  assert.equal(result.refused.message, 'no progress');
  assert.equal(result.closed.typed, true);
  assert.deepEqual(readers, { opened: 2, freed: 2, failed: 0 });
  assert.deepEqual(unhandled, []);
});

test('each piece of a stream is its own', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'own' });
    const MIB = 1 << 20;
    // A, A, B, A, then others: some blocks are one and the same.
    const data = noise(9 * MIB, 5);
    data.copyWithin(MIB, 0, MIB);
    data.copyWithin(3 * MIB, 0, MIB);
    const { cid } = await storage.store(data);
    const read = async () => {
      const pieces = [];
      for await (const piece of storage.stream(cid)) {
        pieces.push(piece.slice());
        structuredClone(piece, { transfer: [piece.buffer] }); // given away at once
      }
      return new Uint8Array(await new Blob(pieces).arrayBuffer());
    };
    const kept = [];
    for await (const piece of storage.stream(cid)) kept.push(piece);
    const buffers = new Set(kept.map((piece) => piece.buffer)).size === kept.length;
    kept[0].fill(0);
    const rest = new Uint8Array(await new Blob(kept.slice(1)).arrayBuffer());
    const whole = [await read(), ...(await Promise.all([read(), read()]))].map((bytes) => indexedDB.cmp(bytes, data) === 0);
    const untouched = indexedDB.cmp(rest, data.slice(data.length - rest.length)) === 0;
    storage.close();
    return { buffers, whole, untouched };
  });
  assert.deepEqual(result, { buffers: true, whole: [true, true, true], untouched: true });
});

test('limits hold: a store over one fails with the figures, and loses nothing', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'limits' });
    await storage.configureCache({ diskBytes: 4_000_000, memoryBytes: 1_000_000, policy: 'lru' });
    const kept = await storage.store(noise(2_500_000, 5), { pin: true });
    const small = await thrown(storage.store(noise(2_000_000, 6)));
    const large = await thrown(storage.store(noise(30_000_000, 7)));
    const same = await thrown(storage.store(noise(2_500_000, 5)));
    const status = await storage.backendStatus();
    await storage.configureCache({ diskBytes: Infinity });
    const fits = await thrown(storage.store(noise(2_000_000, 6)));
    const policy = await thrown(storage.configureCache({ policy: 'fifo' }));
    const typo = await thrown(storage.configureCache({ diskByte: 1 }));
    const whole = (await storage.retrieve(kept.cid)).length;
    storage.close();
    return { small, large, same, status, fits, policy, typo, whole };
  });
  assert.equal(result.small.name, 'QuotaExceededError');
  assert.equal(result.small.limit, 4_000_000);
  assert.equal(result.large.name, 'QuotaExceededError');
  assert.equal(result.same, undefined);
  assert.equal(result.status.bytes, result.status.bytes > 2_500_000 && result.status.bytes < 2_501_000 ? result.status.bytes : 'about 2,500,000');
  assert.equal(result.status.diskLimit, 4_000_000);
  assert.ok(result.status.memoryBytes <= 1_000_000);
  assert.equal(result.fits, undefined);
  assert.equal(result.policy.name, 'InvalidArgumentError');
  assert.equal(result.typo.name, 'InvalidArgumentError');
  assert.equal(result.whole, 2_500_000);
});

test('a store near its limit evicts what was used least recently, and a collection drops what nothing reaches', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'keeping' });
    await storage.configureCache({ diskBytes: 4_000_000, memoryBytes: 0, highWater: 100, lowWater: 100 });
    const evicted = [];
    storage.onEvicted((one) => evicted.push(one));
    const cids = [];
    for (const seed of [1, 2, 3]) cids.push((await storage.store(noise(1_000_000, seed), { filename: `${seed}` })).cid);
    await storage.retrieve(cids[0]);
    await storage.store(noise(1_500_000, 4));
    const held = await Promise.all(cids.map((cid) => storage.exists(cid)));
    const elsewhere = await kit.openStorage({ name: 'elsewhere' });
    const blocks = [];
    for (const seed of [10, 11, 12]) {
      const bytes = noise(1000, seed);
      blocks.push({ cid: (await elsewhere.store(bytes)).cid, bytes });
    }
    elsewhere.close();
    await storage.putBlocks(blocks);
    await storage.pin(blocks[0].cid, { kind: 'direct' });
    const dry = await storage.collect({ dryRun: true });
    const steps = [];
    const wet = await storage.collect({ onProgress: (step) => steps.push(step) });
    const left = await Promise.all(blocks.map(({ cid }) => storage.exists(cid)));
    const aborted = await thrown(storage.collect({ signal: AbortSignal.abort() }));
    const { lastCollection, pinnedBytes, evictedRoots } = await storage.backendStatus();
    const wrong = await thrown(storage.configureCache({ highWater: 50, lowWater: 60 }));
    storage.close();
    return { cids, evicted, held, dry, wet, steps, left, aborted, lastCollection, pinnedBytes, evictedRoots, wrong };
  });
  assert.deepEqual(result.held, [true, false, true]);
  assert.deepEqual(result.evicted.map(({ cid, filename, size, reason }) => [cid, filename, size, reason]), [[result.cids[1], '2', 1_000_000, 'limit']]);
  assert.deepEqual([result.dry.freedBlocks, result.dry.freedBytes, result.dry.dryRun], [2, 2000, true]);
  assert.deepEqual([result.wet.freedBlocks, result.wet.freedBytes, result.wet.pinned, result.wet.inUse], [2, 2000, 1, 0]);
  assert.deepEqual([result.left, result.wet.obstacles, result.wet.postponed], [[true, false, false], [], false]);
  assert.ok(result.steps.every(({ phase }) => ['marking', 'sweeping', 'compacting'].includes(phase)));
  assert.equal(result.aborted.name, 'AbortError');
  assert.deepEqual(result.lastCollection, { ...result.wet, obstacles: [] });
  assert.deepEqual([result.pinnedBytes, result.evictedRoots, result.wrong.code], [1000, 1, 'invalid-argument']);
});

test('one storage is shared until it is reset', async () => {
  const result = await page.evaluate(async () => {
    const [one, two] = await Promise.all([kit.getStorage(), kit.getStorage()]);
    const { cid } = await one.store('shared');
    await kit.resetStorage();
    const closed = await thrown(one.stat(cid));
    const three = await kit.getStorage();
    const there = (await three.stat(cid)).size;
    await kit.resetStorage();
    return { same: one === two, other: one !== three, closed, there };
  });
  assert.deepEqual([result.same, result.other, result.closed.name, result.there], [true, true, 'CancelledError', 6]);
});

test('many stores at once all arrive', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'many', durability: 'relaxed' });
    const stored = await Promise.all(Array.from({ length: 500 }, (_, n) => storage.store(noise(4096, n + 1))));
    const back = await Promise.all(stored.map(async ({ cid }) => (await storage.retrieve(cid)).length));
    const { roots, blocks } = await storage.backendStatus();
    await storage.flush();
    storage.close();
    return { cids: new Set(stored.map(({ cid }) => cid)).size, bytes: back.reduce((a, b) => a + b), roots, blocks };
  });
  assert.deepEqual(result, { cids: 500, bytes: 500 * 4096, roots: 500, blocks: 500 });
});
