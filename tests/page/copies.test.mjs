// Copies in buckets, by URLs that somebody else signs, and in archives: from a page that is loaded anew in between, and from Node.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TOKENS } from '../counterparts/archive-service.mjs';
import { start } from '../counterparts/counterparts.mjs';
import { KEYS } from '../counterparts/s3.mjs';
import { presign } from '../counterparts/sign.mjs';
import { open, ROOT } from './harness.mjs';

let harness;
let s3;
let archive;

before(async () => {
  [harness, s3, archive] = await Promise.all([open(), start('s3'), start('archive')]);
});
after(() => Promise.all([harness, s3, archive].map((one) => one?.close?.() ?? one?.stop())));

/** What has the keys, as it would be a server of the application's. */
const signing = (asked = []) => (request) => (asked.push(request), presign(s3.url, KEYS, request));

const at = (method, key) => fetch(signing()({ method, key, query: {} }), { method });

/** To be called whenever a page has been loaded. `presigned` is what it asks to have a URL signed. */
async function ready(page) {
  await page.waitForFunction(() => window.ready);
  await page.addScriptTag({ content: String(kept) });
  await page.evaluate(() => {
    globalThis.bucket = (more) => ({ kind: 's3', name: 'bucket', prefix: 'page/', sign: (request) => presigned(request), ...more });
    globalThis.cold = (url, token) => {
      const [upload, pins] = [`${url}/upload`, url].map((url) => ({ url, token }));
      return { kind: 'archive', name: 'cold', upload, pins, gateway: url, by: 'put' };
    };
    globalThis.until = async (cid, wanted) => {
      for (const late = Date.now() + 30_000; ; ) {
        const found = await storage.replication(cid);
        if (wanted(found)) return found;
        if (Date.now() > late) throw new Error(`it came no further than ${JSON.stringify(found)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
  });
}

test('a bucket is filled by presigned URLs alone, and a page that is loaded anew goes on', async () => {
  const asked = [];
  const page = await harness.page();
  await page.exposeFunction('presigned', signing(asked));
  await ready(page);
  const cid = await page.evaluate(async () => {
    const policy = { backends: ['bucket'], readBack: 'all' };
    globalThis.storage = await kit.openStorage({ name: 's3', backends: [bucket({ bytesPerSecond: 1_000_000 })], policy });
    const { cid } = await storage.store(noise(10_000_000, 1));
    await until(cid, ({ deliveries }) => deliveries[0]?.sent > 8_000_000);
    return cid;
  });
  await page.reload();
  await ready(page);
  const { begun, report, found, status } = await page.evaluate(async (cid) => {
    globalThis.storage = await kit.openStorage({ name: 's3', backends: [bucket()], autoSync: false });
    const { deliveries } = await storage.replication(cid);
    const report = await storage.sync({ wait: 30_000 });
    const { backends } = await storage.backendStatus();
    return { begun: deliveries[0], report, found: await storage.replication(cid), status: backends };
  }, cid);
  assert.ok(begun.state === 'sending' && Number(begun.details.parts) >= 1, JSON.stringify(begun));
  assert.ok(report.sent > 0 && report.sent < 10_000_000 - 8_000_000, `it sent ${report.sent} bytes more`);
  assert.deepEqual([report.verified, found.replicated, found.replicas[0].all, found.replicas[0].details], [1, true, true, { archives: '1' }]);
  assert.deepEqual(status.map(({ role, name, kind, state }) => [role, name, kind, state]), [
    ['local', 'local', 'opfs', 'available'],
    ['backend', 'bucket', 's3', 'available'],
  ]);
  assert.ok(status[1].bytesOut === report.sent && status[1].bytesIn > 10_000_000, JSON.stringify(status[1]));
  const copy = await at('GET', `page/${cid}.car`);
  assert.ok((await copy.arrayBuffer()).byteLength > 10_000_000);
  // One that is lost is not there any more, whatever was known of it, and is made anew.
  assert.ok((await at('DELETE', `page/${cid}.car`)).ok);
  const again = await page.evaluate(async (cid) => {
    await storage.audit(cid);
    return storage.sync({ wait: 30_000 });
  }, cid);
  assert.deepEqual([again.lost, again.verified], [1, 1]);
  await page.evaluate(async (cid) => {
    await storage.release(cid);
    await storage.sync();
    storage.close();
  }, cid);
  for (const key of [`page/${cid}.car`, `page/${cid}.car.idx`]) assert.equal((await at('GET', key)).status, 404);
  // This is what servers that sign are told to expect.
  const requests = asked.map((request) => [Object.keys(request).join(), request.method, Object.keys(request.query).join('+')].join(' '));
  const known = ['GET ', 'PUT ', 'DELETE ', 'POST uploads', 'PUT partNumber+uploadId', 'POST uploadId'];
  assert.deepEqual([...new Set(requests)].sort(), known.map((request) => `method,key,query ${request}`).sort());
  for (const { key } of asked) assert.ok(key === 'page/probe' || key.startsWith(`page/${cid}.`), key);
});

test('what leaves by age, and moves to the archive, comes back when it is read', async () => {
  await archive.put('/-/ways', { token: TOKENS.pins });
  const page = await harness.page();
  await page.exposeFunction('presigned', signing());
  await ready(page);
  const found = await page.evaluate(async ([url, token]) => {
    const policy = { backends: ['bucket'], localDays: 0 };
    const backends = [bucket(), cold(url, token)];
    globalThis.storage = await kit.openStorage({ name: 'moves', backends, policy, autoSync: false });
    const data = noise(5_000_000, 9);
    const told = [];
    storage.onEvicted(({ cid, filename, reason }) => told.push({ cid, filename, reason }));
    const { cid } = await storage.store(data, { filename: 'model.bin' });
    const first = await storage.sync();
    const left = !(await storage.exists(cid));
    const here = await storage.retrieve(cid).then((bytes) => bytes.every((byte, at) => byte === data[at]) && bytes.length);
    const names = [];
    for await (const file of storage.ls()) names.push(file.filename);
    await storage.replicate(cid, { archive: { backend: 'cold', days: 0, moves: true } });
    const second = await storage.sync({ wait: 30_000 });
    const { replicated, replicas } = await storage.replication(cid);
    const gone = !(await storage.exists(cid));
    const again = await storage.retrieve(cid).then((bytes) => bytes.every((byte, at) => byte === data[at]) && bytes.length);
    await storage.release(cid);
    await storage.sync();
    storage.close();
    return { cid, told, first, left, here, names, second, replicated, replicas, gone, again };
  }, [archive.url, TOKENS.pins]);
  const eviction = { cid: found.cid, filename: 'model.bin', reason: 'age' };
  assert.deepEqual([found.first.verified, found.left, found.here], [1, true, 5_000_000]);
  assert.deepEqual(found.names, ['model.bin'], 'it has its name again');
  assert.deepEqual([found.second.verified, found.second.removed, found.replicated], [1, 1, true], JSON.stringify(found.second));
  assert.deepEqual(found.replicas.map(({ backend }) => backend), ['cold'], 'the bucket has none any more');
  assert.deepEqual([found.gone, found.again], [true, 5_000_000]);
  assert.deepEqual(found.told, [eviction, eviction]);
});

test('who does not sign is a failure in passing, whatever it throws, and says nothing of the copies', async () => {
  const page = await harness.page();
  await page.exposeFunction('presigned', signing());
  await ready(page);
  const { setbacks, copies } = await page.evaluate(async () => {
    let answer;
    const sign = (request, options) => answer(request, options);
    const policy = { backends: ['bucket'], readBack: 'all' };
    const backends = [bucket({ sign })];
    globalThis.storage = await kit.openStorage({ name: 'signing', tier: 'indexeddb', backends, policy, autoSync: false });
    const { cid } = await storage.store(noise(1000, 2));
    const setbacks = [];
    const fails = async (how) => {
      answer = how;
      await storage.sync();
      setbacks.push((await storage.replication(cid)).deliveries[0].setback);
    };
    const works = async () => {
      answer = (request, { signal }) => (signal instanceof AbortSignal ? presigned(request) : undefined);
      await storage.sync({ wait: 5_000 });
      return storage.replicas(cid);
    };
    await fails(() => 'no URL');
    await storage.replicate(cid);
    await fails(() => undefined);
    await storage.replicate(cid);
    await works();
    await storage.audit(cid);
    await fails(() => {
      throw new Error('at once');
    });
    await works();
    await storage.audit(cid);
    await fails(async () => {
      throw Object.assign(new Error(`later${'!'.repeat(10_000)}`), { name: 'NotFoundError' });
    });
    const copies = await storage.replicas(cid);
    storage.close();
    return { setbacks, copies };
  });
  const told = setbacks.map(({ place, why, next }) => [place, why.slice(0, 80), next === undefined]);
  assert.match(told[0][1], /gave no URL/);
  assert.match(told[1][1], /gave no URL/);
  assert.match(told[2][1], /not signed for: at once/);
  assert.match(told[3][1], /not signed for: later/);
  assert.ok(setbacks[3].why.length < 1000);
  assert.deepEqual(told.map(([place]) => place), Array(4).fill('there'));
  // What is no URL stays none; what was thrown may go well the next time.
  assert.deepEqual(told.map(([, , isGivenUp]) => isGivenUp), [true, true, false, false]);
  assert.equal(copies.length, 1, 'a copy was given up because nobody signed');
});

/** To be run in a page: of each text the places where the page keeps it. */
async function kept(texts) {
  const found = Object.fromEntries(texts.map((text) => [text, []]));
  const look = (place, held) => {
    const text = typeof held === 'string' ? held : new TextDecoder('latin1').decode(held);
    for (const [wanted, places] of Object.entries(found)) if (text.includes(wanted)) places.push(place);
  };
  const folder = async (directory, place) => {
    for await (const [name, entry] of directory) {
      if (entry.kind === 'directory') await folder(entry, `${place}/${name}`);
      else look(`${place}/${name}`, await (await entry.getFile()).arrayBuffer());
    }
  };
  const record = async (value, place) => {
    if (value instanceof Blob) look(place, await value.arrayBuffer());
    else if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) look(place, value);
    else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) await record(inner, place);
    else look(place, String(value));
  };
  const settled = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  await folder(await navigator.storage.getDirectory(), 'files');
  for (const { name } of await indexedDB.databases()) {
    const database = await settled(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      await record(await settled(database.transaction(store).objectStore(store).getAll()), `database/${name}`);
    }
    database.close();
  }
  look('page', JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  return found;
}

test('an archive keeps what a page gave it, and its token is nowhere', async () => {
  const wrong = 'known-to-nobody-4711';
  await archive.put('/-/ways', { token: TOKENS.pins });
  const page = await harness.page();
  await ready(page);
  const refused = await page.evaluate(
    async ([url, token]) => {
      const found = [];
      for (const tier of ['opfs', 'indexeddb']) {
        const options = { name: `refused-${tier}`, tier, policy: { backends: ['cold'] }, autoSync: false };
        const storage = await kit.openStorage({ ...options, backends: [cold(url, token)] });
        const { cid } = await storage.store(noise(1000, 3));
        await storage.sync();
        const { backends } = await storage.backendStatus();
        found.push([(await storage.replication(cid)).deliveries[0], backends[1]]);
        await storage.flush();
        storage.close();
      }
      return { found, kept: await kept(['status 401', token]) };
    },
    [archive.url, wrong],
  );
  for (const [delivery, backend] of refused.found) {
    assert.equal(delivery.state, 'failed');
    assert.match(delivery.setback.why, /status 401/);
    assert.deepEqual([backend.role, backend.kind, backend.state], ['backend', 'archive', 'unavailable']);
    assert.match(backend.evidence, /status 401/);
  }
  const { [wrong]: secret, 'status 401': said } = refused.kept;
  assert.ok(said.some((place) => place.startsWith('files/')) && said.includes('database/refused-indexeddb'), `only in ${said}`);
  assert.deepEqual(secret, []);
  assert.ok(!JSON.stringify(refused.found).includes(wrong), 'the token is told');

  const cid = await page.evaluate(
    async ([url, token]) => {
      const policy = { backends: ['cold'], readBack: 'all' };
      globalThis.storage = await kit.openStorage({ name: 'archive', backends: [cold(url, token)], policy });
      const { cid } = await storage.store(noise(3_000_000, 4));
      await until(cid, ({ deliveries }) => deliveries[0]?.details.request !== undefined);
      return cid;
    },
    [archive.url, TOKENS.pins],
  );
  await page.reload();
  await ready(page);
  const { found, same, places } = await page.evaluate(
    async ([url, cid, token]) => {
      globalThis.storage = await kit.openStorage({ name: 'archive', remotes: [url], backends: [cold(url, token)] });
      const found = await until(cid, ({ replicated }) => replicated);
      await storage.delete(cid);
      const gone = !(await storage.exists(cid));
      const same = gone && indexedDB.cmp(await storage.retrieve(cid), noise(3_000_000, 4)) === 0;
      await storage.flush();
      storage.close();
      return { found, same, places: (await kept([token]))[token] };
    },
    [archive.url, cid, TOKENS.pins],
  );
  const [{ backend, all, details }] = found.replicas;
  assert.deepEqual([backend, all, details.status], ['cold', true, 'pinned']);
  assert.ok(same, 'what was deleted here did not come back');
  assert.deepEqual(places, []);
  const { requests } = await archive.get('/-/requests');
  const uploads = requests.filter(({ url }) => url === '/upload').map(({ method }) => method);
  assert.deepEqual([...new Set(uploads)].sort(), ['OPTIONS', 'PUT']);
});

test('backends that lack something, or have too much, are refused with what it is', async () => {
  const page = await harness.page();
  await ready(page);
  const found = await page.evaluate(async () => {
    const s3 = { kind: 's3', name: 'a', sign: async () => '' };
    const cold = { kind: 'archive', name: 'a', upload: 'https://a.test/up', pins: 'https://a.test', gateway: 'https://g.test' };
    const cases = {
      'a backend without sign': { ...s3, sign: undefined },
      'the option sign is not a function': { ...s3, sign: 'https://a.test' },
      'no option "url"; there are kind, name, atOnce, bytesPerSecond, prefix, layout, sign': { ...s3, url: 'https://a.test' },
      'is no prefix of keys': { ...s3, prefix: '/a' },
      'no layout of a bucket "tar"; there are car, blocks': { ...s3, layout: 'tar' },
      'a backend without upload': { ...cold, upload: undefined },
      'a backend without pins': { ...cold, pins: undefined },
      'a backend without gateway': { ...cold, gateway: undefined },
      'no option "sign"': { ...cold, sign: s3.sign },
      'no way to upload "patch"; there are post and put': { ...cold, by: 'patch' },
      'the option origins is not a list of strings': { ...cold, origins: [1] },
      'origins are multiaddresses': { ...cold, origins: ['a.test'] },
      'a secret is one or more visible ASCII characters': { ...cold, pins: { url: cold.pins, token: 'two words' } },
      'take https': { ...cold, upload: { url: 'http://a.test/up', token: 'known-to-nobody' } },
      'a token, or a user and a password': { ...cold, pins: { url: cold.pins, user: 'known-to-nobody' } },
      'a backend without url': { ...cold, pins: { token: 'known-to-nobody' } },
      'no kind of backend "floppy"; there are kubo, cluster, s3, archive': { ...s3, kind: 'floppy' },
      'a backend without kind': 'https://a.test',
    };
    const found = [];
    for (const [part, one] of Object.entries(cases)) {
      for (const tier of ['opfs', 'indexeddb']) {
        const error = await thrown(kit.openStorage({ name: `shapes-${tier}`, tier, backends: [one] }));
        found.push([part, error?.name, error?.message ?? '']);
      }
    }
    return found;
  });
  for (const [part, name, message] of found) {
    assert.ok(name === 'InvalidArgumentError' && message.includes(part), `${part}: ${name}: ${message}`);
    assert.ok(!/two words|known-to-nobody/.test(message), message);
  }
});

test('in Node it is the same', async () => {
  const { openStorage } = await import(join(ROOT, 'dist/npm/node.js'));
  const directory = await mkdtemp(join(tmpdir(), 'ipfs-kit-copies-'));
  const backends = [{ kind: 's3', name: 'bucket', prefix: 'node/', sign: async (request) => signing()(request) }];
  const storage = await openStorage({ directory, backends, policy: { backends: ['bucket'] }, autoSync: false });
  const { cid } = await storage.store('from Node');
  assert.equal((await storage.sync()).verified, 1);
  assert.equal((await storage.backendStatus()).backends[1].state, 'available');
  assert.ok((await at('GET', `node/${cid}.car`)).ok);
  storage.close();
  await rm(directory, { recursive: true, force: true });
});
