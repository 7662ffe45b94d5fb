// In a page, against servers by other hands: a gateway, through a proxy that fails as told; a node's RPC; a router.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from '../counterparts/counterparts.mjs';
import { open } from './harness.mjs';

/** Patience in these tests, in milliseconds. */
const TIMEOUT = 1500;

let harness;
let gateway;
const running = [];

before(async () => {
  [harness, gateway] = await Promise.all([open(), started('gateway')]);
});
after(async () => {
  await harness?.close();
  await Promise.all(running.map((one) => one.stop()));
});

async function started(name, target) {
  const one = await start(name, target);
  running.push(one);
  return one;
}

/** Without the requests that only ask whether it is there. */
async function asked(proxy) {
  const { requests } = await proxy.get('/-/requests');
  return requests.map(({ url }) => url).filter((url) => !url.includes('bafkqaaa') && url.startsWith('/ipfs/'));
}

test('a file, a range, a path and a whole directory come from a gateway, with one request each', async () => {
  const proxy = await started('faults', gateway.url);
  const { cid: file } = await gateway.post('/-/random?size=20000000&seed=1&chunk=262144');
  const files = Array.from({ length: 200 }, (_, at) => ({ path: `sub/${at}.bin`, size: 4096, seed: at }));
  const { cid: tree } = await gateway.post('/-/tree', [{ path: 'a.bin', size: 700_000, seed: 9 }, ...files]);
  const page = await harness.page();
  const digest = async (url) => page.evaluate(async (url) => sha(await (await fetch(url)).arrayBuffer()), url);
  await page.route('**/-/cat/**', async (route) => route.fulfill({ response: await route.fetch(), headers: { 'access-control-allow-origin': '*' } }));
  const steps = [
    { read: [file, {}], cat: file },
    { read: [`${tree}/sub/77.bin`, {}], cat: `${tree}/sub/77.bin` },
    { read: [file, { offset: 9_999_000, length: 300_000 }], store: 'range' },
  ];
  for (const { read, cat, store = 'all' } of steps) {
    await proxy.remove('/-/requests');
    const result = await page.evaluate(
      async ({ url, read: [path, options], store }) => {
        const storage = await kit.openStorage({ name: store, remotes: [url] });
        const told = [];
        const bytes = await storage.retrieve(path, { ...options, onFetched: (fetched) => told.push(fetched) });
        const { bytes: held } = await storage.backendStatus();
        storage.close();
        return { digest: await sha(bytes), length: bytes.length, told: told.at(-1), held };
      },
      { url: proxy.url, read, store },
    );
    if (cat) assert.equal(result.digest, await digest(`${gateway.url}/-/cat/${cat}`), cat);
    else assert.ok(result.length === 300_000 && result.held < 2_000_000, `${result.held} bytes`);
    assert.equal(result.told.remote, proxy.url);
    assert.ok(result.told.bytes >= result.length && result.told.blocks > 0);
    assert.equal((await asked(proxy)).length, 1, `${await asked(proxy)}`);
  }
  await proxy.remove('/-/requests');
  const pinned = await page.evaluate(
    async ({ url, tree }) => {
      const storage = await kit.openStorage({ name: 'tree', remotes: [url] });
      await storage.pin(tree);
      const one = await storage.retrieve(`${tree}/sub/199.bin`, { offline: true });
      storage.close();
      return one.length;
    },
    { url: proxy.url, tree },
  );
  assert.equal(pinned, 4096);
  assert.equal((await asked(proxy)).length, 1);
});

/** With that gateway alone: a text of the error, or nothing where the file comes all the same. */
const FAULTS = [
  [{ name: 'wrong-bytes', block: 2 }, /do not hash/],
  [{ name: 'swapped', block: 1 }, /do not hash/],
  [{ name: 'extra', block: 3 }, /nothing asked for/],
  [{ name: 'truncated' }, /ends within a section/],
  [{ name: 'truncated-between' }, /before all of it/],
  [{ name: 'endless' }, /nothing asked for/],
  [{ name: 'endless-root' }, /over and over/],
  [{ name: 'oversize' }, /a part of 3145764 bytes/],
  [{ name: 'drip' }, /hardly anything/],
  [{ name: 'stall', after: 150_000 }, /hardly anything/],
  [{ name: 'silence' }, /hardly anything/],
  [{ name: 'reset', after: 150_000 }, /cannot be reached/],
  [{ name: 'status', status: 404 }, /does not have it/],
  [{ name: 'status', status: 410 }, /does not have it/],
  [{ name: 'status', status: 412 }, /does not have it/],
  [{ name: 'status', status: 429, retryAfter: 3600 }, /busy/],
  [{ name: 'status', status: 451 }, /refuses/],
  [{ name: 'status', status: 500 }, /status 500/],
  [{ name: 'status', status: 504 }, /status 504/],
  [{ name: 'redirect-loop' }, /cannot be reached/],
  [{ name: 'wrong-type' }, /text\/html/],
  // A browser unpacks it, and is told to stop at the first impossible part.
  [{ name: 'gzip-bomb' }, /cannot be used/],
  [{ name: 'status', status: 500, times: 1 }],
  [{ name: 'reset', after: 150_000, times: 1 }],
];

test('whatever a gateway does, the right error alone, and the file with another beside it', { timeout: 300_000 }, async () => {
  const size = 800_000;
  const { cid } = await gateway.post(`/-/random?size=${size}&seed=3&chunk=100000`);
  const page = await harness.page();
  const one = async ([fault, expected]) => {
    const label = JSON.stringify(fault);
    const proxy = await started('faults', gateway.url);
    await proxy.put('/-/fault', fault);
    const result = await page.evaluate(
      async ({ urls, cid, name, remoteTimeout }) => {
        const alone = await kit.openStorage({ name, remotes: [urls[0]], remoteTimeout });
        const error = await thrown(alone.retrieve(cid));
        const { bytes, quarantined } = await alone.backendStatus();
        alone.close();
        const both = await kit.openStorage({ name, remotes: urls, remoteTimeout });
        const length = (await both.retrieve(cid)).length;
        both.close();
        const offline = await kit.openStorage({ name });
        const again = (await offline.retrieve(cid)).length;
        offline.close();
        return { error, bytes, quarantined, length, again };
      },
      { urls: [proxy.url, gateway.url], cid, name: label, remoteTimeout: TIMEOUT },
    );
    if (expected) {
      assert.equal(result.error?.name, 'UnavailableError', label);
      assert.match(result.error.message, expected, label);
      assert.ok(result.error.attempts.every(({ remote }) => remote === proxy.url), label);
    } else assert.equal(result.error, undefined, label);
    assert.ok(result.bytes < size + 2000 && result.quarantined === 0, `${label}: ${result.bytes} bytes`);
    assert.deepEqual([result.length, result.again], [size, size], label);
  };
  // Eight at once: most of them only wait.
  const left = [...FAULTS];
  const worker = async () => {
    while (left.length) await one(left.shift());
  };
  await Promise.all(Array.from({ length: 8 }, worker));
});

test('a redirect is followed', async () => {
  const proxy = await started('faults', gateway.url);
  await proxy.put('/-/fault', { name: 'redirect', to: gateway.url });
  const { cid } = await gateway.post('/-/random?size=5000&seed=4');
  const page = await harness.page();
  const length = await page.evaluate(
    async ({ url, cid }) => (await (await kit.openStorage({ name: 'redirect', remotes: [url] })).retrieve(cid)).length,
    { url: proxy.url, cid },
  );
  assert.equal(length, 5000);
});

test('an aborted call ends its request', async () => {
  const proxy = await started('faults', gateway.url);
  await proxy.put('/-/fault', { name: 'stall', after: 10 });
  const { cid } = await gateway.post('/-/random?size=500000&seed=5&chunk=100000');
  const page = await harness.page();
  const errors = await page.evaluate(
    async ({ url, cid }) => {
      const storage = await kit.openStorage({ name: 'abort', remotes: [url] });
      const calls = [
        (signal) => storage.retrieve(cid, { signal }),
        (signal) => storage.pin(cid, { signal }),
        (signal) => storage.getBlock(cid, { signal }),
      ];
      const names = [];
      for (const call of calls) names.push((await thrown(call(AbortSignal.timeout(300)))).name);
      const reader = storage.stream(cid).getReader();
      const read = reader.read();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await reader.cancel();
      await read;
      storage.close();
      return names;
    },
    { url: proxy.url, cid },
  );
  assert.deepEqual(errors, ['TimeoutError', 'TimeoutError', 'TimeoutError']);
  // The proxy hears of the last one a moment later.
  for (let tries = 0; tries < 50; tries++) {
    const { requests } = await proxy.get('/-/requests');
    if (requests.every(({ done }) => done !== null)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { requests } = await proxy.get('/-/requests');
  assert.ok(requests.length >= 4, `${requests.length} requests`);
  assert.ok(requests.every(({ done }) => done === false), JSON.stringify(requests));
});

test("a node's RPC gives, takes and pins", async () => {
  const rpc = await started('rpc');
  const form = new FormData();
  form.append('file', new Blob([new Uint8Array(600_000).fill(7)]));
  const added = await (
    await fetch(`${rpc.url}/api/v0/add?cid-version=1&raw-leaves=true&cid-base=base32`, { method: 'POST', body: form })
  ).json();
  const page = await harness.page();
  const result = await page.evaluate(
    async ({ url, cid }) => {
      const remote = `kubo+${url}`;
      const storage = await kit.openStorage({ name: 'rpc', remotes: [remote], remoteTimeout: 5000 });
      const got = await storage.retrieve(cid);
      const stored = await storage.store(noise(5_000_000, 11), { filename: 'mine' });
      const told = [];
      const pushed = await storage.push(stored.cid, remote, { pin: true, onPushed: (far) => told.push(far) });
      const { backends } = await storage.backendStatus();
      const unknown = await thrown(storage.push(stored.cid, 'https://example.org'));
      storage.close();
      const same = got.length === 600_000 && got.every((byte) => byte === 7);
      return { same, cid: stored.cid, pushed, told, backend: backends[1], unknown, digest: await sha(noise(5_000_000, 11)) };
    },
    { url: rpc.url, cid: added.Hash },
  );
  assert.equal(result.same, true);
  assert.ok(result.pushed.blocks === 6 && result.pushed.bytes > 5_000_000, JSON.stringify(result.pushed));
  assert.ok(result.told.length > 1);
  assert.deepEqual([result.backend.kind, result.backend.state], ['kubo', 'available']);
  assert.ok(result.backend.bytesOut >= 5_000_000 && result.backend.bytesIn >= 600_000);
  assert.equal(result.unknown.name, 'InvalidArgumentError');
  const there = await fetch(`${rpc.url}/api/v0/cat?arg=${result.cid}`, { method: 'POST' });
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await there.arrayBuffer()));
  assert.equal([...digest].join(), result.digest);
});

test('a router names a gateway that has it', async () => {
  const routing = await started('routing');
  const { cid } = await gateway.post('/-/random?size=300000&seed=6&chunk=100000');
  const { port } = new URL(gateway.url);
  const Addrs = [`/ip4/127.0.0.1/tcp/${port}/http`];
  const providers = [{ Schema: 'peer', ID: 'gw', Addrs, Protocols: ['transport-ipfs-gateway-http'] }];
  await routing.put('/-/providers', { cid, providers });
  const page = await harness.page();
  const result = await page.evaluate(
    async ({ url, cid }) => {
      const storage = await kit.openStorage({ name: 'routing', remotes: [`routing+${url}`] });
      const length = (await storage.retrieve(cid)).length;
      const { backends } = await storage.backendStatus();
      storage.close();
      return { length, kinds: backends.map(({ kind, name, state }) => [kind, name, state]) };
    },
    { url: routing.url, cid },
  );
  assert.equal(result.length, 300_000);
  assert.deepEqual(result.kinds.slice(1), [
    ['routing', `routing+${routing.url}`, 'available'],
    ['gateway', gateway.url, 'available'],
  ]);
});
