// Values of linked data as JavaScript has them, against the libraries that others use for them.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { open, ROOT } from './harness.mjs';

/** The libraries of the counterparts, in Node. */
const required = createRequire(join(ROOT, 'tests/counterparts/package.json'));
const library = (name) => import(pathToFileURL(required.resolve(name)).href);

/** A link of a codec that the engine does not know. */
const GIT = 'baf4bcfgio3hovkftaer3yx6jsnm6navhg4yimwi';

let harness;
let page;

before(async () => {
  harness = await open();
  page = await harness.page();
  // What crosses into the page and back loses nothing: JSON with signs for what JSON has not.
  await page.evaluate(`window.pack = ${pack}; window.unpack = ${unpack};`);
  await page.evaluate(async () => {
    window.storage = await kit.openStorage({ name: 'values' });
  });
});
after(() => harness?.close());

function pack(value) {
  if (typeof value === 'bigint') return { $: 'bigint', text: String(value) };
  if (value instanceof Uint8Array) return { $: 'bytes', bytes: [...value] };
  if (Array.isArray(value)) return value.map((item) => pack(item));
  if (value === null || typeof value !== 'object') return value;
  if (value.asCID) return { $: 'link', cid: String(value) };
  if (typeof value['/'] === 'string') return { $: 'link', cid: value['/'] };
  return { $: 'map', entries: Object.entries(value).map(([name, inner]) => [name, pack(inner)]) };
}

function unpack(value) {
  if (Array.isArray(value)) return value.map((item) => unpack(item));
  if (value === null || typeof value !== 'object') return value;
  if (value.$ === 'bigint') return BigInt(value.text);
  if (value.$ === 'bytes') return Uint8Array.from(value.bytes);
  if (value.$ === 'link') return { '/': value.cid };
  return Object.fromEntries(value.entries.map(([name, inner]) => [name, unpack(inner)]));
}

/** Pseudorandom values that JavaScript tells apart; links by `link`. */
function* values(link) {
  let state = 7;
  const next = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const text = () => Array.from({ length: next(6) }, () => String.fromCodePoint([65, 97, 98, 47, 233, 0x6c34, 0x1f600, 10, 34, 92, 1][next(11)])).join('');
  const bytes = () => Uint8Array.from({ length: next(40) }, () => next(256));
  const kinds = [
    () => null,
    () => next(2) === 0,
    () => next(1000) - 500,
    () => (next(2 ** 32) - 2 ** 31) * 2 ** 21 + next(2 ** 21),
    () => (next(2) === 0 ? 1n : -1n) * (2n ** 53n + BigInt(next(2 ** 32)) * 2n ** 31n),
    () => [2n ** 64n - 1n, -(2n ** 64n), -(2n ** 53n), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER][next(5)],
    () => (next(2 ** 32) - 2 ** 31) / 7 / 10 ** next(40),
    () => (next(2 ** 32) / 3) * 10 ** next(40),
    () => [Number.MIN_VALUE, Number.MAX_VALUE, 1e21, 1.5e300, -1e-7, 0.1][next(6)],
    text,
    bytes,
    () => link(next(3)),
    (depth) => (depth > 3 ? text() : Array.from({ length: next(5) }, () => any(depth + 1))),
    (depth) => (depth > 3 ? bytes() : Object.fromEntries(Array.from({ length: next(5) }, () => [`${text()}.`, any(depth + 1)]))),
  ];
  const any = (depth) => kinds[depth === 0 ? kinds.length - 1 - next(2) : next(kinds.length)](depth);
  for (let count = 0; count < 400; count++) yield any(0);
}

test('values have the CIDs that @ipld/dag-cbor and @ipld/dag-json give them, and come back', async () => {
  const [cbor, json, { CID }, { sha256 }] = await Promise.all(
    ['@ipld/dag-cbor', '@ipld/dag-json', 'multiformats/cid', 'multiformats/hashes/sha2'].map(library),
  );
  const links = [
    'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e',
    'QmQg1v4o9xdT3Q14wh4S7dxZkDjyZ9ssFzFzyep1YrVJBY',
    GIT,
  ].map((cid) => CID.parse(cid));
  const all = [...values((which) => links[which])];
  for (const [codec, { code, encode, decode }] of [['dag-cbor', cbor], ['dag-json', json]]) {
    const expected = [];
    for (const value of all) expected.push(String(CID.createV1(code, await sha256.digest(encode(value)))));
    const made = await page.evaluate(
      async ([all, codec]) => {
        const made = [];
        for (const packed of all) {
          const { cid } = await storage.putValue(unpack(packed), { codec });
          made.push({ cid, value: pack(await storage.getValue(cid)), bytes: [...(await storage.getBlock(cid))] });
        }
        return made;
      },
      [all.map(pack), codec],
    );
    for (const [at, value] of all.entries()) {
      assert.equal(made[at].cid, expected[at], `${codec} ${JSON.stringify(pack(value))}`);
      const sorted = ({ $, entries, ...rest }) => ({ $, entries: entries?.toSorted(([one], [other]) => (one < other ? -1 : 1)), ...rest });
      const normal = (packed) =>
        JSON.parse(JSON.stringify(packed), (_, inner) => (inner?.$ === 'map' ? sorted(inner) : inner));
      assert.deepEqual(normal(made[at].value), normal(pack(value)));
      assert.deepEqual(normal(pack(decode(Uint8Array.from(made[at].bytes)))), normal(pack(value)));
    }
  }
});

test('the fixtures of the IPLD project are read and written in a browser as elsewhere', async () => {
  const folder = join(ROOT, 'tests/vectors/codecs/fixtures');
  const fixtures = [];
  for (const name of (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
    for (const file of await readdir(join(folder, name.name))) {
      const [cid, codec] = file.split('.');
      if (codec === 'dag-pb') continue;
      fixtures.push({ name: name.name, codec, cid, bytes: [...(await readFile(join(folder, name.name, file)))] });
    }
  }
  assert.equal(fixtures.length, 256);
  const made = await page.evaluate(async (fixtures) => {
    const made = [];
    for (const { codec, cid, bytes } of fixtures) {
      await storage.putBlocks([{ cid, bytes: Uint8Array.from(bytes) }]);
      made.push((await storage.putValue(await storage.getValue(cid), { codec })).cid);
    }
    return made;
  }, fixtures);
  for (const [at, { name, codec, cid }] of fixtures.entries()) assert.equal(made[at], cid, `${name} ${codec}`);
});

test('paths lead through values and files, and links are of the class that is wanted', async () => {
  const { CID } = await library('multiformats/cid');
  const told = await page.evaluate(async (bytesOf) => {
    /** As the class of multiformats is seen from without. */
    class Foreign {
      constructor(bytes) {
        this['/'] = this.bytes = Uint8Array.from(bytes);
      }
      get asCID() {
        return this;
      }
    }
    class Cid {
      constructor(text) {
        this.text = text;
      }
    }
    const file = await storage.store('hello', { filename: 'hello.txt' });
    const inner = await storage.putValue({ file: { '/': file.cid }, list: ['a', { b: 7 }] }, { codec: 'dag-json' });
    const outer = await storage.putValue({ inner: { '/': inner.cid } }, { filename: 'outer', pin: true });
    const linked = await storage.getValue(`${outer.cid}/inner`, { link: (cid) => new Cid(cid) });
    return {
      outer: { pinned: outer.pinned, filename: outer.filename, size: outer.size },
      listed: (await storage.listFiles()).files.some(({ cid, pinned }) => cid === outer.cid && pinned),
      seven: await storage.getValue(`${outer.cid}/inner/list/1/b`),
      bytes: [...(await storage.getValue(`${outer.cid}/inner/file`))],
      text: new TextDecoder().decode(await storage.retrieve(`${outer.cid}/inner/file`)),
      link: (await storage.getValue(outer.cid)).inner['/'] === inner.cid,
      foreign: (await storage.getValue((await storage.putValue(new Foreign(bytesOf))).cid))['/'],
      class: linked.file instanceof Cid && linked.file.text === file.cid,
      missing: await thrown(storage.getValue(`${outer.cid}/inner/list/2`)),
      failing: await thrown(storage.getValue(outer.cid, { link: () => { throw new Error('no'); } })),
      pinned: await thrown(storage.delete(outer.cid)),
      aborted: (await thrown(storage.getValue(outer.cid, { signal: AbortSignal.abort() }))).name,
    };
  }, [...CID.parse(GIT).bytes]);
  assert.deepEqual(told.outer, { pinned: true, filename: 'outer', size: 49 });
  assert.ok(told.listed && told.link && told.class);
  assert.equal(told.foreign, GIT);
  assert.equal(told.seven, 7);
  assert.deepEqual(told.bytes, [...Buffer.from('hello')]);
  assert.equal(told.text, 'hello');
  assert.equal(told.missing.code, 'not-found');
  assert.equal(told.failing.code, 'invalid-argument');
  assert.equal(told.pinned.code, 'denied');
  assert.equal(told.aborted, 'AbortError');
});

test('what a value links to and is not here holds nothing up, and a pin waits for it', async () => {
  const told = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'absent' });
    const absent = 'bafyreihdb57fdysx5h35urvxz64ros7zvywshber7id6t6c6fek37jgyfe';
    const { cid } = await storage.putValue([{ '/': absent }]);
    const { obstacles } = await storage.collect();
    const refused = await thrown(storage.putValue([{ '/': absent }], { pin: true }));
    const [pin] = (await storage.listPins()).pins;
    await storage.putValue([2]);
    const whole = await storage.pin(cid);
    storage.close();
    return { obstacles, refused, pending: pin.pending, whole: whole.pending, same: pin.cid === cid };
  });
  assert.deepEqual(told.obstacles, []);
  assert.equal(told.refused.code, 'not-available-offline');
  assert.deepEqual([told.pending, told.whole, told.same], [true, false, true]);
});

test('what is no value is refused, and nothing is lost in silence', async () => {
  // A block that others made, with a map that would be taken for a link.
  const [{ encode, code }, { CID }, { sha256 }] = await Promise.all(
    ['@ipld/dag-cbor', 'multiformats/cid', 'multiformats/hashes/sha2'].map(library),
  );
  const bytes = encode({ '/': 'foo' });
  const cid = String(CID.createV1(code, await sha256.digest(bytes)));
  const told = await page.evaluate(async ([cid, bytes]) => {
    const loop = [];
    loop.push(loop);
    const refused = {
      undefined,
      hole: [, 1],
      member: { a: undefined },
      nan: NaN,
      infinity: [Infinity],
      large: 2n ** 64n,
      small: -(2n ** 64n) - 1n,
      surrogate: '\ud800',
      name: { '\udc00': 1 },
      date: new Date(),
      map: new Map(),
      class: new (class A {})(),
      function: () => {},
      symbol: Symbol('a'),
      loop,
      link: { '/': 'foo' },
      words: new Uint16Array(2),
    };
    const codes = {};
    for (const [name, value] of Object.entries(refused)) codes[name] = (await thrown(storage.putValue(value)))?.code;
    const kept = [
      { '/': 'foo', more: 1 },
      { '/': new Uint8Array([1]) },
      { '/': { bytes: 'AQ' } },
      JSON.parse('{"__proto__":{"a":1},"constructor":2,"toString":3}'),
      Object.assign(Object.create(null), { a: 1 }),
    ];
    const back = [];
    for (const value of kept) {
      const { cid } = await storage.putValue(value);
      back.push([pack(value), pack(await storage.getValue(cid))]);
    }
    await storage.putBlocks([{ cid, bytes: Uint8Array.from(bytes) }]);
    const buffer = await storage.getValue((await storage.putValue(new Uint8Array([7, 8]).buffer)).cid);
    return {
      codes,
      back,
      buffer: [...buffer],
      mistaken: await thrown(storage.getValue(cid)),
      codec: await thrown(storage.putValue(1, { codec: 'dag-pb' })),
      option: await thrown(storage.putValue(1, { name: 'a' })),
      large: await thrown(storage.putValue(new Uint8Array(2 * 1024 * 1024))),
      minusZero: Object.is(await storage.getValue((await storage.putValue(-0)).cid), 0),
    };
  }, [cid, [...bytes]]);
  for (const [name, code] of Object.entries(told.codes)) {
    assert.ok(['invalid-argument', 'invalid-cid'].includes(code), `${name}: ${code}`);
  }
  for (const [value, back] of told.back) assert.deepEqual(back, value);
  assert.deepEqual(told.buffer, [7, 8]);
  assert.equal(told.mistaken.code, 'unsupported');
  assert.equal(told.codec.code, 'invalid-argument');
  assert.equal(told.option.code, 'invalid-argument');
  assert.match(told.large.message, /link to them/);
  assert.ok(told.minusZero);
});
