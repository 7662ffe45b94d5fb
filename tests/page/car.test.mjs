// Archives in a page, and between it and what others make: Kubo, @ipld/car, @helia/car.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inspect, offsets, reversed, throughHelia } from '../counterparts/archives.mjs';
import { open, ROOT } from './harness.mjs';

let harness;
let page;

before(async () => {
  harness = await open();
  page = await harness.page();
  await page.evaluate(() => {
    window.decode = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    window.encode = (bytes) => {
      let text = '';
      for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
      return btoa(text);
    };
    // Not by a Response: that has an error of its own for streams that fail.
    window.collected = async (stream) => {
      const parts = [];
      const reader = stream.getReader();
      for (let next; !(next = await reader.read()).done; ) parts.push(next.value);
      return new Uint8Array(await new Blob(parts).arrayBuffer());
    };
  });
});
after(() => harness?.close());

const load = (name) => readFile(join(ROOT, 'tests/vectors/car', name));

test('what Kubo wrote goes in, whatever it comes as, and comes out again', async () => {
  for (const name of ['dir3-v1.car', 'file1048577-chunk1024-v1.car']) {
    const archive = await load(name);
    const made = await page.evaluate(async ([name, text]) => {
      const bytes = decode(text);
      async function* pieces() {
        for (let at = 0; at < bytes.length; at += 7777) yield bytes.subarray(at, at + 7777);
      }
      const kinds = { bytes, blob: new Blob([bytes]), stream: new Blob([bytes]).stream(), iterable: pieces() };
      const reports = [];
      for (const [kind, data] of Object.entries(kinds)) {
        const storage = await kit.openStorage({ name: `${kind} ${name}` });
        const steps = [];
        const report = await storage.importCar(data, { pin: true, onProgress: (step) => steps.push(step) });
        const again = encode(await collected(storage.exportCar(report.roots[0].cid)));
        const { pinned } = await storage.stat(report.roots[0].cid);
        reports.push({ report, same: again === text, pinned, done: steps.at(-1).done });
        storage.close();
      }
      return reports;
    }, [name, archive.toString('base64')]);
    const { roots, cids } = await inspect(archive);
    for (const { report, same, pinned, done } of made) {
      assert.deepEqual(report.roots, [{ cid: roots[0], whole: true, pinned: true }]);
      assert.deepEqual([report.blocks, same, pinned, done], [cids.length, true, true, archive.length], name);
    }
  }
});

test('@ipld/car and @helia/car read what is exported, and what they write is imported', async () => {
  const exported = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'others' });
    const { cid } = await storage.store(noise(5_000_000, 3), { layout: { profile: 'unixfs-v1-2025', chunkSize: 100_000, width: 8 } });
    const [v1, v2, some] = await Promise.all([
      collected(storage.exportCar(cid)),
      collected(storage.exportCar(cid, { version: 2 })),
      collected(storage.exportCar([cid], { scope: 'entity', from: -150_000 })),
    ]);
    storage.close();
    return { cid, v1: encode(v1), v2: encode(v2), some: encode(some) };
  });
  const [v1, v2, some] = [exported.v1, exported.v2, exported.some].map((text) => Buffer.from(text, 'base64'));
  const first = await inspect(v1);
  assert.deepEqual([first.version, first.roots, first.wrong], [1, [exported.cid], []]);
  assert.equal(new Set(first.cids).size, first.cids.length);
  const second = await inspect(v2);
  assert.deepEqual(second, { ...first, version: 2 });
  const index = v2.subarray(51 + v1.length + 30);
  const places = Object.values(await offsets(v1)).sort((a, b) => a - b);
  const noted = Array.from({ length: index.length / 40 }, (_, at) => Number(index.readBigUInt64LE(at * 40 + 32)));
  assert.deepEqual(noted.sort((a, b) => a - b), places);
  const part = await inspect(some);
  assert.ok(part.cids.length < 10 && part.cids.every((cid) => first.cids.includes(cid)));

  const written = [await reversed(v1), await throughHelia(v1), v2];
  const back = await page.evaluate(async ([cid, archives]) => {
    const results = [];
    for (const [at, archive] of archives.entries()) {
      const storage = await kit.openStorage({ name: `others ${at}` });
      const report = await storage.importCar(decode(archive));
      const same = (await sha(await storage.retrieve(cid))) === (await sha(noise(5_000_000, 3)));
      results.push([report.roots[0], same, encode(await collected(storage.exportCar(cid)))]);
      storage.close();
    }
    return results;
  }, [exported.cid, written.map((archive) => archive.toString('base64'))]);
  for (const [root, same, again] of back) {
    assert.deepEqual([root, same], [{ cid: exported.cid, whole: true, pinned: false }, true]);
    assert.ok(again === exported.v1, 'it does not matter in which order it came');
  }
});

test('errors come as they are, and leave nothing', async () => {
  const archive = await load('dir3-v1.car');
  const { errors, blocks } = await page.evaluate(async (text) => {
    const storage = await kit.openStorage({ name: 'damaged' });
    const good = decode(text);
    const flipped = good.slice();
    flipped[good.length - 1] ^= 1;
    const errors = [
      await thrown(storage.importCar(flipped)),
      await thrown(storage.importCar(good.subarray(0, good.length - 1))),
      await thrown(storage.importCar(42)),
      await thrown(storage.importCar(good, { pinned: true })),
      await thrown(collected(storage.exportCar('bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy'))),
      await thrown(collected(storage.exportCar('bafkqaaa', { version: 3 }))),
      await thrown(collected(storage.exportCar('no cid'))),
    ];
    const { blocks } = await storage.backendStatus();
    storage.close();
    return { errors, blocks };
  }, archive.toString('base64'));
  const found = ['integrity', 'corrupt', 'invalid-argument', 'invalid-argument', 'not-available-offline', 'invalid-argument', 'invalid-cid'];
  assert.deepEqual(errors.map((error) => error?.code), found);
  assert.match(errors[1].message, /at byte \d+/);
  assert.ok(errors.every(({ typed }) => typed));
  assert.equal(blocks, 0);
});

test('an import goes on after the page was closed', async () => {
  const first = await harness.page();
  const begun = await first.evaluate(async () => {
    window.collected = async (stream) => new Uint8Array(await new Response(stream).arrayBuffer());
    const origin = await kit.openStorage({ name: 'origin' });
    const { cid } = await origin.store(noise(60_000_000, 5));
    const archive = await collected(origin.exportCar(cid));
    const storage = await kit.openStorage({ name: 'resumed' });
    let given = 0;
    async function* pieces() {
      for (let at = 0; at < 45_000_000; at += 1_000_000) yield archive.subarray(at, (given = at + 1_000_000));
      await new Promise(() => {});
    }
    storage.importCar(pieces(), { resume: 'it' }).catch(() => {});
    while (given < 45_000_000) await new Promise((resolve) => setTimeout(resolve, 50));
    return { cid, length: archive.length };
  });
  await first.close();
  const next = await harness.page();
  const ended = await next.evaluate(async ({ cid }) => {
    window.collected = async (stream) => new Uint8Array(await new Response(stream).arrayBuffer());
    const origin = await kit.openStorage({ name: 'origin' });
    const storage = await kit.openStorage({ name: 'resumed' });
    await storage.collect();
    const steps = [];
    const report = await storage.importCar(new Blob([await collected(origin.exportCar(cid))]), {
      resume: 'it',
      onProgress: (step) => steps.push(step.done),
    });
    const same = (await sha(await storage.retrieve(cid))) === (await sha(noise(60_000_000, 5)));
    const pins = [];
    for await (const pin of storage.pins()) pins.push(pin);
    // Nothing is left to forget.
    await storage.forgetCarImport('it');
    const kept = await storage.exists(cid);
    origin.close();
    storage.close();
    return { report, same, steps, pins, kept };
  }, begun);
  assert.deepEqual(ended.report.roots, [{ cid: begun.cid, whole: true, pinned: false }]);
  assert.deepEqual([ended.same, ended.pins, ended.kept], [true, [], true]);
  assert.ok(ended.steps[0] > 16_000_000, `it was begun anew: ${ended.steps}`);
  assert.equal(ended.steps.at(-1), begun.length);
  await next.close();
});
