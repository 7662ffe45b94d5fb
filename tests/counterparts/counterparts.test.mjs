// The counterparts do what the tests that use them rely on.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { CarReader } from '@ipld/car';
import { decode } from '@ipld/dag-pb';
import { start } from './counterparts.mjs';

const VECTORS = new URL('../vectors/', import.meta.url);
const rule = (size) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + 7) % 256);
const base64 = (bytes) => Buffer.from(bytes).toString('base64');

let gateway;
let rpc;
let vectors;
/** A file of 5 blocks and their root. */
let cid;

before(async () => {
  [gateway, rpc] = await Promise.all([start('gateway'), start('rpc')]);
  vectors = JSON.parse(await readFile(new URL('unixfs-cids.json', VECTORS)));
  ({ cid } = await gateway.post('/-/random?size=500000&seed=1&chunk=100000'));
});
after(() => Promise.all([gateway, rpc].map((one) => one?.stop())));

/** The blocks of a CAR, each proven. */
async function blocks(url) {
  const response = await fetch(url);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/vnd\.ipld\.car; version=1; order=dfs; dups=[yn]$/);
  const car = await CarReader.fromBytes(new Uint8Array(await response.arrayBuffer()));
  const all = await collect(car.blocks());
  for (const { cid, bytes } of all) assert.ok(proven(cid, bytes));
  return all;
}

async function collect(source) {
  const all = [];
  for await (const one of source) all.push(one);
  return all;
}

const proven = (cid, bytes) => createHash('sha256').update(bytes).digest().equals(cid.multihash.digest);

/** What lies under a root, in order, from these blocks; throws if one is missing. */
function under(root, all) {
  const block = all.find(({ cid }) => cid.toString() === root.toString());
  assert.ok(block, `${root} is missing`);
  const links = block.cid.code === 0x70 ? decode(block.bytes).Links : [];
  return [root.toString(), ...links.flatMap(({ Hash }) => under(Hash, all))];
}

const names = (all) => all.map(({ cid }) => cid.toString());

test('the gateway makes the CIDs that Kubo makes', async () => {
  const { files, dirs } = vectors.variants['unixfs-v1-2025'];
  for (const size of [0, 100, 1_048_577]) assert.equal((await gateway.post('/-/file', rule(size))).cid, files[size]);
  const tree = Object.entries({ 'a.txt': 11, 'b.bin': 4096, 'c.dat': 300_000 });
  const made = await gateway.post('/-/tree', tree.map(([path, size]) => ({ path, base64: base64(rule(size)) })));
  assert.equal(made.cid, dirs.dir3);
  const legacy = await gateway.post('/-/file?profile=unixfs-v0-2015', rule(1_048_577));
  assert.equal(legacy.cid, vectors.variants['unixfs-v0-2015'].files[1_048_577]);
});

test('a CAR is complete, proven and in order, without repeats unless asked for', async () => {
  const all = await blocks(`${gateway.url}/ipfs/${cid}?format=car`);
  assert.deepEqual(names(all), under(cid, all));
  assert.equal(all.length, 6);
  const zeros = await gateway.post('/-/file?chunk=1000', new Uint8Array(10_000));
  assert.equal((await blocks(`${gateway.url}/ipfs/${zeros.cid}?format=car`)).length, 2);
  assert.equal((await blocks(`${gateway.url}/ipfs/${zeros.cid}?format=car&car-dups=y`)).length, 11);
});

test('a CAR goes as far as its scope', async () => {
  const { cid: root } = await gateway.post('/-/tree', [
    { path: 'a/b.bin', size: 3_000_000, seed: 7 },
    { path: 'c.txt', base64: base64(rule(3)) },
  ]);
  const car = (path, query) => blocks(`${gateway.url}/ipfs/${root}${path}?format=car&${query}`);
  assert.equal((await car('', '')).length, 7);
  assert.deepEqual((await car('', 'dag-scope=block')).length, 1);
  assert.equal((await car('', 'dag-scope=entity')).length, 1);
  // The root, the directory `a`, the file and its three chunks.
  assert.equal((await car('/a/b.bin', '')).length, 6);
  assert.equal((await car('/a/b.bin', 'dag-scope=block')).length, 3);
  const some = await car('/a/b.bin', 'dag-scope=entity&entity-bytes=1048576:2097151');
  assert.equal(some.length, 4);
  assert.equal((await car('/a/b.bin', 'entity-bytes=-1:*')).length, 4);
  const cat = Buffer.from(await (await fetch(`${gateway.url}/-/cat/${root}/a/b.bin`)).arrayBuffer());
  assert.ok(proven(some[3].cid, cat.subarray(1_048_576, 2_097_152)));
});

test('entity-bytes holds in files of several levels, and paths in sharded directories', async () => {
  const deep = await gateway.post('/-/random?size=2000000&seed=4&chunk=1000');
  const all = await blocks(`${gateway.url}/ipfs/${deep.cid}?format=car&entity-bytes=1900000:1900999`);
  assert.equal(all.length, 3);
  const many = await gateway.post('/-/tree', Array.from({ length: 5000 }, (_, i) => ({
    path: `file-${String(i).padStart(5, '0')}`,
    base64: base64(Buffer.from(String(i))),
  })));
  assert.equal(many.cid, vectors.variants['unixfs-v1-2025'].dirs.many5000);
  const path = await blocks(`${gateway.url}/ipfs/${many.cid}/file-00042?format=car&dag-scope=entity`);
  // A shard at least lies between the root and the file.
  assert.ok(path.length >= 3);
  for (const [at, { bytes }] of path.slice(0, -1).entries()) {
    assert.ok(decode(bytes).Links.some(({ Hash }) => Hash.equals(path[at + 1].cid)));
  }
  assert.equal(Buffer.from(path.at(-1).bytes).toString(), '42');
});

test('the gateway answers as gateways do', async () => {
  const ask = (path, options) => fetch(gateway.url + path, options);
  const raw = await ask(`/ipfs/${cid}?format=raw`);
  assert.equal(raw.headers.get('content-type'), 'application/vnd.ipld.raw');
  assert.equal(raw.headers.get('access-control-allow-origin'), '*');
  assert.equal((await ask('/ipfs/bafkqaaa?format=raw')).status, 200);
  const head = await ask(`/ipfs/${cid}?format=raw`, { method: 'HEAD' });
  assert.deepEqual([head.status, Number(head.headers.get('content-length'))], [200, (await raw.arrayBuffer()).byteLength]);
  const car = await ask(`/ipfs/${cid}?format=car`, { method: 'HEAD' });
  assert.equal(car.headers.get('content-type'), 'application/vnd.ipld.car; version=1; order=dfs; dups=n');
  assert.equal((await ask(`/ipfs/${cid}`, { method: 'OPTIONS' })).status, 204);
  const absent = vectors.variants['unixfs-v1-2025'].files[262_144];
  assert.equal((await ask(`/ipfs/${absent}?format=car`)).status, 404);
  assert.equal((await ask(`/ipfs/${absent}?format=raw`, { headers: { 'cache-control': 'only-if-cached' } })).status, 412);
  const range = await ask(`/ipfs/${cid}`, { headers: { range: 'bytes=10-19' } });
  assert.deepEqual([range.status, (await range.arrayBuffer()).byteLength], [206, 10]);
  const dir3 = await gateway.post('/-/car', await readFile(new URL('car/dir3-v1.car', VECTORS)));
  assert.equal((await ask(`/ipfs/${dir3.roots[0]}/none.txt?format=car`)).status, 404);
});

test('a CAR that cannot be completed is broken off', async () => {
  const { cid: root } = await gateway.post('/-/random?size=500000&seed=9&chunk=100000');
  const [, , second] = names(await blocks(`${gateway.url}/ipfs/${root}?format=car`));
  await gateway.remove(`/-/block/${second}`);
  const response = await fetch(`${gateway.url}/ipfs/${root}?format=car`);
  await assert.rejects(response.arrayBuffer(), /terminated/);
  assert.equal((await fetch(`${gateway.url}/ipfs/${second}?format=raw`)).status, 404);
});

test('what is imported over the RPC is pinned, comes back and can be unpinned', async () => {
  const archive = await readFile(new URL('car/dir3-v1.car', VECTORS));
  const form = new FormData();
  form.append('file', new Blob([archive]));
  // Its origin is a page elsewhere.
  const headers = { origin: 'http://127.0.0.1:9' };
  const imported = await fetch(`${rpc.url}/api/v0/dag/import?pin-roots=true`, { method: 'POST', body: form, headers });
  assert.equal(imported.headers.get('access-control-allow-origin'), headers.origin);
  const root = (await imported.json()).Root.Cid['/'];
  const pins = async () => Object.keys((await rpc.post('/api/v0/pin/ls?type=recursive&cid-base=base32')).Keys);
  assert.deepEqual(await pins(), [root]);
  const back = await fetch(`${rpc.url}/api/v0/dag/export?arg=${root}`, { method: 'POST' });
  const car = await CarReader.fromBytes(new Uint8Array(await back.arrayBuffer()));
  assert.equal(under(root, await collect(car.blocks())).length, 4);
  await rpc.post(`/api/v0/pin/rm?arg=${root}`);
  assert.deepEqual(await pins(), []);
});
