// What is stored goes to backends, from a page: in the background, through faults, killed pages and times without a network.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from '../counterparts/counterparts.mjs';
import { open } from './harness.mjs';

let harness;
/** A node for all: it takes its time to start. */
let rpc;
let proxy;

before(async () => {
  [harness, rpc] = await Promise.all([open(), start('rpc')]);
  proxy = await start('faults', rpc.url);
});
after(() => Promise.all([harness?.close(), rpc?.stop(), proxy?.stop()]));

/** To be run in a page: opens `storage` with a node as its backend, and waits for what comes of a root. */
async function prepare(page, name, url, more = {}) {
  await page.evaluate(
    async ([name, url, more]) => {
      const backends = [{ kind: 'kubo', name: 'node', url }];
      globalThis.storage = await kit.openStorage({ name, backends, ...more });
      globalThis.until = async (cid, wanted) => {
        for (;;) {
          const found = await storage.replication(cid);
          if (wanted(found)) return found;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
    },
    [name, url, more],
  );
}

const POLICY = { policy: { backends: ['node'], readBack: 'all' } };

async function pinned(cid) {
  const answer = await fetch(`${rpc.url}/api/v0/pin/ls?arg=${cid}&type=recursive`, { method: 'POST' });
  return answer.ok;
}

test('what is stored under a policy is copied in the background, and counts once it was read back', async () => {
  const page = await harness.page();
  await prepare(page, 'background', rpc.url, POLICY);
  const result = await page.evaluate(async () => {
    const steps = [];
    const end = storage.onDelivery((cid, backend, delivery) => steps.push([cid, backend, delivery?.state]));
    const { cid } = await storage.store(noise(3_000_000, 1));
    const found = await until(cid, ({ replicated }) => replicated);
    end();
    const rest = [];
    for await (const delivery of storage.outbox()) rest.push(delivery);
    const other = await storage.store(noise(1000, 2), { replicate: { backends: [] } });
    const value = await storage.putValue({ a: 1 });
    await until(value.cid, ({ replicated }) => replicated);
    return { cid, steps, found, rest, other: await storage.replication(other.cid), replicas: await storage.replicas(cid) };
  });
  const { cid, steps, found, rest, other, replicas } = result;
  assert.deepEqual(rest, []);
  assert.deepEqual(found.replicas, replicas);
  assert.deepEqual([found.wanted, found.deliveries], [1, []]);
  const [{ backend, blocks, bytes, all }] = replicas;
  assert.ok(backend === 'node' && blocks === 4 && bytes > 3_000_000 && all, JSON.stringify(replicas));
  assert.ok(steps.every((step) => step[0] === cid && step[1] === 'node'));
  assert.deepEqual([steps.at(-1)[2], steps.some(([, , state]) => state === 'stored')], [undefined, true], JSON.stringify(steps));
  assert.deepEqual(other, { replicated: false, wanted: undefined, replicas: [], deliveries: [] });
  assert.ok(await pinned(cid));
  const removed = await page.evaluate(async (cid) => {
    await storage.release(cid);
    const { replicas } = await storage.replication(cid);
    await until(cid, ({ deliveries }) => deliveries.length === 0);
    storage.close();
    return replicas;
  }, cid);
  assert.deepEqual(removed, []);
  assert.equal(await pinned(cid), false);
});

test('what is queued without a network, or in a page that is gone, is sent later', async () => {
  const page = await harness.page();
  await prepare(page, 'later', rpc.url, { ...POLICY, autoSync: false });
  const cid = await page.evaluate(async () => {
    await storage.store(noise(1_000_000, 3));
    return (await storage.store(noise(2_500_000, 4))).cid;
  });
  const context = page.context();
  await context.setOffline(true);
  const offline = await page.evaluate(async (cid) => [await storage.sync(), (await storage.replication(cid)).deliveries[0]], cid);
  assert.deepEqual([offline[0].offline, offline[0].sent, offline[1].state], ['disconnected', 0, 'queued']);
  assert.equal(offline[1].setback, undefined, 'it costs no try');
  await page.close();
  await context.setOffline(false);
  const next = await harness.page();
  await prepare(next, 'later', rpc.url, POLICY);
  const found = await next.evaluate((cid) => until(cid, ({ replicated }) => replicated), cid);
  assert.equal(found.replicas.length, 1);
  await next.evaluate(async () => {
    for (;;) {
      const { deliveries } = await storage.listOutbox();
      if (deliveries.length === 0) return storage.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
  assert.ok(await pinned(cid));
});

test('a backend that fails, or says that it has what it has lost, is never believed, and served when it works', async () => {
  await proxy.put('/-/fault', { name: 'status', status: 500 });
  const page = await harness.page();
  await prepare(page, 'failing', proxy.url, POLICY);
  const failed = await page.evaluate(async () => {
    globalThis.cid = (await storage.store(noise(700_000, 5))).cid;
    const { deliveries, replicas } = await until(cid, ({ deliveries }) => deliveries[0]?.setback !== undefined);
    return { delivery: deliveries[0], replicas };
  });
  assert.deepEqual(failed.replicas, []);
  const { setback } = failed.delivery;
  assert.ok(setback.place === 'there' && setback.failures >= 1 && setback.next > 0, JSON.stringify(setback));
  assert.match(setback.why, /status 500/);
  await proxy.put('/-/fault', null);
  const cid = await page.evaluate(async () => {
    await storage.replicate(cid); // now, and not when it is due
    await until(cid, ({ replicated }) => replicated);
    return cid;
  });
  // It forgets it.
  await fetch(`${rpc.url}/api/v0/pin/rm?arg=${cid}`, { method: 'POST' });
  await fetch(`${rpc.url}/api/v0/repo/gc`, { method: 'POST' });
  assert.equal(await pinned(cid), false);
  // And says so at once, as Kubo does: js-ipfs waits for what it has not got.
  const gone = JSON.stringify({ Message: 'block was not found locally (offline): ipld: could not find it', Code: 0, Type: 'error' });
  await proxy.put('/-/fault', { name: 'status', status: 500, match: 'block/get', times: 1, body: gone });
  const again = await page.evaluate(async () => {
    const [{ verified }] = await storage.replicas(cid);
    await storage.audit(cid);
    const found = await until(cid, ({ replicated, replicas }) => replicated && replicas[0].verified > verified);
    storage.close();
    return found;
  });
  assert.equal(again.replicas.length, 1);
  assert.ok(await pinned(cid));
});

test('a page that is killed while it sends loses nothing, and the next one goes on', async () => {
  const page = await harness.page();
  await prepare(page, 'killed', proxy.url, { ...POLICY, backends: [{ kind: 'kubo', name: 'node', url: proxy.url, bytesPerSecond: 4_000_000 }] });
  const cid = await page.evaluate(async () => {
    const { cid } = await storage.store(noise(16_000_000, 6));
    await until(cid, ({ deliveries }) => deliveries[0]?.state === 'sending' && deliveries[0].sent > 2_000_000);
    return cid;
  });
  await page.close();
  const next = await harness.page();
  await prepare(next, 'killed', rpc.url, { ...POLICY, autoSync: false });
  const { before, report, found } = await next.evaluate(async (cid) => {
    const { deliveries } = await storage.replication(cid);
    const report = await storage.sync({ wait: 60_000 });
    const found = await storage.replication(cid);
    storage.close();
    return { before: deliveries[0], report, found };
  }, cid);
  assert.ok(before.state === 'sending' && before.sent > 2_000_000, JSON.stringify(before));
  assert.ok(report.sent > 0 && report.sent < 14_100_000, `it sent ${report.sent} bytes more`);
  assert.ok(found.replicated && found.replicas[0].all);
});

test('options that make no sense are refused', async () => {
  const page = await harness.page();
  const errors = await page.evaluate(async () => {
    const node = { kind: 'kubo', name: 'node', url: 'http://127.0.0.1:9' };
    const open = (options) => thrown(kit.openStorage({ name: 'refused', ...options }));
    return [
      await open({ backends: [{ ...node, kind: 'floppy' }] }),
      await open({ backends: [{ ...node, name: '' }] }),
      await open({ backends: [node, node] }),
      await open({ backends: [{ ...node, pinned: true }] }),
      await open({ backends: [node], policy: { backends: ['other'] } }),
      await open({ backends: [node], policy: { backends: ['node'], copies: 0 } }),
      await open({ backends: [node], policy: { backends: ['node'], readBack: 'some' } }),
    ].map((error) => error?.name);
  });
  assert.deepEqual(errors, Array(7).fill('InvalidArgumentError'));
});
