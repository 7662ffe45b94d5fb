// Each fault is what its name says.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { CarReader } from '@ipld/car';
import { start } from './counterparts.mjs';

let gateway;
let faults;
/** A file of 5 blocks and their root. */
let cid;

before(async () => {
  gateway = await start('gateway');
  faults = await start('faults', gateway.url);
  ({ cid } = await gateway.post('/-/random?size=500000&seed=1&chunk=100000'));
});
after(() => Promise.all([gateway, faults].map((one) => one?.stop())));
beforeEach(() => Promise.all([faults.put('/-/fault', null), faults.remove('/-/requests')]));

const ask = (format = 'car', options) => fetch(`${faults.url}/ipfs/${cid}?format=${format}`, options);
const bytes = async (response) => new Uint8Array(await (await response).arrayBuffer());
const digest = (data) => createHash('sha256').update(data).digest();

/** Whether each block of the CAR hashes to its CID. */
async function proofs(fault) {
  await faults.put('/-/fault', fault);
  const car = await CarReader.fromBytes(await bytes(ask()));
  const all = [];
  for await (const block of car.blocks()) all.push(digest(block.bytes).equals(block.cid.multihash.digest));
  return all;
}

/** Reads until so many bytes came or it ends, and says which. */
async function read(response, limit) {
  let count = 0;
  for await (const part of response.body) {
    count += part.length;
    if (count >= limit) return 'more';
  }
  return count;
}

test('without a fault it changes nothing, and takes note of what it was asked', async () => {
  const true_ = await bytes(fetch(`${gateway.url}/ipfs/${cid}?format=car`));
  assert.deepEqual(await bytes(ask('car', { headers: { accept: 'application/vnd.ipld.car' } })), true_);
  const { requests, sent } = await faults.get('/-/requests');
  const { method, url, accept, done } = requests[0];
  assert.deepEqual([requests.length, method, url, accept], [1, 'GET', `/ipfs/${cid}?format=car`, 'application/vnd.ipld.car']);
  assert.deepEqual([sent, done], [true_.length, true]);
  assert.equal((await ask('raw', { method: 'OPTIONS' })).status, 204);
});

test('blocks that are wrong, swapped, unasked or too large', async () => {
  assert.deepEqual(await proofs({ name: 'wrong-bytes', block: 2 }), [true, true, false, true, true, true]);
  assert.deepEqual(await proofs({ name: 'swapped', block: 1 }), [true, false, false, true, true, true]);
  assert.deepEqual(await proofs({ name: 'extra', block: 3 }), Array(7).fill(true));
  assert.deepEqual(await proofs({ name: 'oversize' }), Array(7).fill(true));
  assert.ok((await bytes(ask())).length > 500_000 + 3 * 2 ** 20);
  await faults.put('/-/fault', { name: 'wrong-bytes' });
  assert.notDeepEqual(digest(await bytes(ask('raw'))), digest(await bytes(fetch(`${gateway.url}/ipfs/${cid}?format=raw`))));
});

test('a CAR that ends too early, or never', async () => {
  await assert.rejects(proofs({ name: 'truncated', block: 2 }), /Unexpected end of data/);
  assert.deepEqual(await proofs({ name: 'truncated-between', block: 2 }), [true, true]);
  for (const name of ['endless', 'endless-root']) {
    await faults.put('/-/fault', { name });
    assert.equal(await read(await ask(), 2_000_000), 'more');
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await faults.get('/-/requests')).requests.at(-1).done, false);
});

test('a body that is slow, stops, or is broken off', async () => {
  await faults.put('/-/fault', { name: 'drip' });
  const began = Date.now();
  const slow = await ask();
  assert.equal(await read(slow, 4), 'more');
  assert.ok(Date.now() - began >= 140);
  await faults.put('/-/fault', { name: 'stall', after: 10 });
  const signal = AbortSignal.timeout(300);
  const stalled = await ask('car', { signal });
  assert.equal(stalled.status, 200);
  await assert.rejects(read(stalled, 100), { name: 'TimeoutError' });
  await faults.put('/-/fault', { name: 'silence' });
  await assert.rejects(ask('car', { signal: AbortSignal.timeout(300) }), { name: 'TimeoutError' });
  for (const fault of [{ name: 'reset', after: 1000 }, { name: 'wrong-length' }]) {
    await faults.put('/-/fault', fault);
    const broken = await ask();
    assert.equal(broken.status, 200);
    await assert.rejects(bytes(broken), /terminated/);
  }
});

test('statuses, redirects and other types', async () => {
  for (const status of [404, 410, 412, 429, 451, 500, 504]) {
    await faults.put('/-/fault', { name: 'status', status, retryAfter: 1 });
    const refused = await ask();
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [status, '1']);
  }
  await faults.put('/-/fault', { name: 'redirect', to: gateway.url });
  const moved = await ask('raw');
  assert.deepEqual([moved.status, moved.url], [200, `${gateway.url}/ipfs/${cid}?format=raw`]);
  await faults.put('/-/fault', { name: 'redirect-loop' });
  await assert.rejects(ask(), /fetch failed/);
  await faults.put('/-/fault', { name: 'wrong-type' });
  assert.equal((await ask()).headers.get('content-type'), 'text/html');
});

test('a body that is far larger than what is sent', async () => {
  await faults.put('/-/fault', { name: 'gzip-bomb', size: 64 * 2 ** 20 });
  assert.equal(await read(await ask('raw'), Infinity), 64 * 2 ** 20);
  assert.ok((await faults.get('/-/requests')).sent < 200_000);
});

test('a fault may be for some requests only, and each may be late', async () => {
  await faults.put('/-/fault', { name: 'status', status: 500, match: 'format=car', times: 1 });
  assert.deepEqual([(await ask('raw')).status, (await ask()).status, (await ask()).status], [200, 500, 200]);
  await faults.put('/-/delay', 100);
  const began = Date.now();
  await bytes(ask());
  assert.ok(Date.now() - began >= 100);
  await faults.put('/-/delay', 0);
});
