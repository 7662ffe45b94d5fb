// Trees from a page: entries, folders that were picked, opened or dropped; and their CIDs beside those of the importer of Helia.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { open, ROOT } from './harness.mjs';

let harness;
let page;

before(async () => {
  harness = await open();
  page = await harness.page();
  await page.evaluate(`window.random = ${random}; window.threshold = ${threshold};`);
  await page.evaluate(() => {
    /** All that is in a tree: paths, and what is at them. */
    window.walk = async (storage, cid, path = '') => {
      const all = {};
      for await (const { filename, kind, size, target, mode, mtime } of storage.ls(`${cid}${path}`)) {
        const below = `${path}/${filename}`;
        const shown = { kind, size, target, mode, mtime };
        all[below.slice(1)] = Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined));
        if (kind === 'directory') Object.assign(all, await walk(storage, cid, below));
      }
      return all;
    };
    window.text = (bytes) => new TextDecoder().decode(bytes);
    window.entries = function* () {
      yield { path: 'readme.txt', content: 'hello world', mode: 0o600, mtime: 1_700_000_000_123 };
      yield { path: 'a/deep/down/ñame with 水 and ☃️.bin', content: new Uint8Array([1, 2, 3]).buffer };
      yield { path: 'a/empty file', content: '' };
      yield { path: 'empty', mtime: new Date(86_400_000) };
      yield { path: 'link', target: 'a/deep/../empty file' };
      yield { path: '.hidden', content: new Blob(['seen']) };
      yield { path: 'large.bin', content: new Blob([noise(3_000_000, 9)]).stream() };
    };
  });
});
after(() => harness?.close());

test('entries become a tree, whatever gives them, and are found by path', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'entries' });
    async function* later() {
      for (const entry of entries()) yield entry;
    }
    const stream = new ReadableStream({
      start: (controller) => {
        for (const entry of entries()) controller.enqueue(entry);
        controller.close();
      },
    });
    const steps = [];
    const options = { filename: 'mine', pin: true, onProgress: (step) => steps.push(step) };
    const info = await storage.storeTree(entries(), options);
    const cids = [];
    for (const source of [later(), stream, [...entries()].reverse(), new Set(entries())]) {
      cids.push((await storage.storeTree(source)).cid);
    }
    const all = await walk(storage, info.cid);
    const read = {};
    for (const path of ['readme.txt', 'a/empty file', 'a/deep/down/ñame with 水 and ☃️.bin', '.hidden']) {
      read[path] = text(await storage.retrieve(`${info.cid}/${path}`));
    }
    const large = await sha(await new Response(storage.stream(`${info.cid}/large.bin`)).arrayBuffer());
    const stat = await storage.stat(`${info.cid}/link`);
    const empty = await storage.storeTree([], { layout: { profile: 'unixfs-v0-2015' } });
    const roots = [];
    for await (const { cid } of storage.ls()) roots.push(cid);
    storage.close();
    return { info, cids, all, read, large: large === (await sha(noise(3_000_000, 9))), stat, empty, roots, steps };
  });
  const { info } = result;
  assert.deepEqual([info.filename, info.kind, info.size, info.pinned], ['mine', 'directory', 3_000_018, true]);
  assert.deepEqual(result.cids, Array(4).fill(info.cid));
  assert.deepEqual(result.all, {
    '.hidden': { kind: 'file', size: 4 },
    a: { kind: 'directory' },
    'a/deep': { kind: 'directory' },
    'a/deep/down': { kind: 'directory' },
    'a/deep/down/ñame with 水 and ☃️.bin': { kind: 'file', size: 3 },
    'a/empty file': { kind: 'file', size: 0 },
    empty: { kind: 'directory', mtime: 86_400_000 },
    'large.bin': { kind: 'file', size: 3_000_000 },
    link: { kind: 'symlink', size: 20, target: 'a/deep/../empty file' },
    'readme.txt': { kind: 'file', size: 11, mode: 0o600, mtime: 1_700_000_000_123 },
  });
  assert.deepEqual(Object.values(result.read), ['hello world', '', '\x01\x02\x03', 'seen']);
  assert.ok(result.large);
  assert.equal(result.stat.target, 'a/deep/../empty file');
  assert.equal(result.empty.cid, 'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn');
  assert.deepEqual(result.roots.sort(), [info.cid, result.empty.cid].sort());
  assert.deepEqual(result.steps.at(-1), { path: 'large.bin', done: 3_000_018, files: 5 });
  assert.ok(result.steps.every(({ done }, at) => done >= (result.steps[at - 1]?.done ?? 0)));
});

test('memory that the source reuses is copied', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'reused' });
    function* reusing() {
      const content = new Uint8Array(1000);
      for (let at = 0; at < 1000; at += 1) yield { path: `f${at}`, content: content.fill(at) };
    }
    const fresh = Array.from({ length: 1000 }, (_, at) => ({ path: `f${at}`, content: new Uint8Array(1000).fill(at) }));
    const cids = [await storage.storeTree(reusing()), await storage.storeTree(fresh)].map(({ cid }) => cid);
    storage.close();
    return cids;
  });
  assert.equal(result[0], result[1]);
});

test('what is no entry is refused, and nothing is stored', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'refused' });
    const wrong = [
      [{ content: 'x' }],
      [null],
      [{ path: 'a', data: 'x' }],
      [{ path: 'a', content: 'x', target: 'y' }],
      [{ path: 'a', target: 5 }],
      [{ path: 'a', content: 5 }],
      [{ path: '', content: 'x' }],
      [{ path: 'a/../b', content: 'x' }],
      [{ path: 'a', content: 'x', mode: '0755' }],
      [{ path: 'a', mode: 1.5 }],
      [{ path: 'a', mode: -1 }],
      [{ path: 'a', mode: 0o10000 }],
      [{ path: 'a', mtime: new Date(NaN) }],
      [{ path: 'a', mtime: { secs: 5 } }],
      [{ path: 'a', content: new Blob(['x']).stream(), mtime: 'now' }],
      [{ path: 'a'.repeat(5000) }],
      'abc',
      new Uint8Array(3),
      undefined,
      42,
      {},
      new DataTransfer(),
    ];
    const codes = [];
    for (const source of wrong) {
      // After a file that is taken.
      const source_ = Array.isArray(source) ? [{ path: 'first', content: new Blob([noise(2_000_000, 1)]) }, ...source] : source;
      codes.push((await thrown(storage.storeTree(source_)))?.code);
    }
    const option = await thrown(storage.storeTree([], { pinned: true }));
    const { blocks, roots } = await storage.backendStatus();
    storage.close();
    const closed = await thrown(storage.storeTree([]));
    return { codes, option, blocks, roots, closed };
  });
  assert.deepEqual(result.codes, Array(22).fill('invalid-argument'));
  assert.equal(result.option.code, 'invalid-argument');
  assert.equal(result.closed.code, 'cancelled');
  assert.deepEqual([result.blocks, result.roots], [0, 0]);
});

test('a tree that fails or is aborted leaves nothing, and waits for nobody', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'aborted' });
    await storage.storeTree([{ path: 'kept', content: 'kept' }]);
    const before = await storage.backendStatus();
    const returned = [];
    function* endless(name, each) {
      try {
        for (let at = 0; ; at += 1) yield { path: `${at % 7}/${at}`, content: each(at) };
      } finally {
        returned.push(name);
      }
    }
    const bytes = (at) => noise(5000, at + 1);
    const errors = {};
    const failing = async (name, storing) => {
      const hangs = new Promise((resolve) => setTimeout(resolve, 10_000, { message: 'it hangs' }));
      errors[name] = (await Promise.race([thrown(storing), hangs]))?.message;
    };
    const aborting = (name, source) => {
      const stop = new AbortController();
      const onProgress = ({ done }) => done > 20_000_000 && stop.abort(new RangeError('mine'));
      return failing(name, storage.storeTree(source, { signal: stop.signal, onProgress }));
    };
    await aborting('small', endless('small', bytes));
    await aborting('blobs', endless('blobs', (at) => new Blob([bytes(at)])));
    await aborting('large', endless('large', (at) => new Blob([new Uint8Array(9_000_000).fill(at + 1)])));
    await aborting('streams', endless('streams', (at) => [bytes(at), bytes(at + 1)]));
    const stop = new AbortController();
    async function* stalling() {
      for (let at = 0; at < 2000; at += 1) yield { path: `f${at}`, content: bytes(at) };
      setTimeout(() => stop.abort(new RangeError('mine')), 50);
      await new Promise(() => {});
    }
    await failing('stalled', storage.storeTree(stalling(), { signal: stop.signal }));
    const stuck = new ReadableStream({ pull: () => new Promise(() => {}) });
    await failing('stuck', storage.storeTree([{ path: 'a', content: stuck }], { signal: AbortSignal.timeout(50) }));
    await failing('already', storage.storeTree(endless('never', bytes), { signal: AbortSignal.abort(new TypeError('before')) }));
    async function* throwing() {
      for (let at = 0; at < 2000; at += 1) yield { path: `f${at}`, content: bytes(at) };
      throw new TypeError('of the source');
    }
    await failing('source', storage.storeTree(throwing()));
    const broken = new ReadableStream({ pull: (to) => to.error(new TypeError('of the content')) });
    await failing('content', storage.storeTree([{ path: 'x', content: noise(2_000_000, 1) }, { path: 'a', content: broken }]));
    await failing('told', storage.storeTree(endless('told', bytes), { onProgress: () => { throw new TypeError('of who is told'); } }));
    const after = await storage.backendStatus();
    storage.close();
    return { errors, returned, before, after };
  });
  const { stuck, ...errors } = result.errors;
  assert.match(stuck, /timed out/);
  assert.deepEqual(errors, {
    small: 'mine',
    blobs: 'mine',
    large: 'mine',
    streams: 'mine',
    stalled: 'mine',
    already: 'before',
    source: 'of the source',
    content: 'of the content',
    told: 'of who is told',
  });
  assert.deepEqual(result.returned, ['small', 'blobs', 'large', 'streams', 'told']);
  const figures = ({ blocks, bytes, roots }) => ({ blocks, bytes, roots });
  assert.deepEqual(figures(result.after), figures(result.before));
});

test('no more than a few batches are read ahead of what is stored', async () => {
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'ahead' });
    const measure = async (count, content) => {
      let given = 0;
      let most = { bytes: 0, entries: 0 };
      let taken = { done: 0, files: 0 };
      function* counted() {
        for (let at = 0; at < count; at += 1) {
          most = { bytes: Math.max(most.bytes, given - taken.done), entries: Math.max(most.entries, at - taken.files) };
          const data = content(at);
          given += data.size ?? data.length;
          yield { path: `${at >> 8}/${at}`, content: data };
        }
      }
      const { size } = await storage.storeTree(counted(), { onProgress: (step) => (taken = step) });
      return { size, given, ...most };
    };
    const full = (size, at) => new Uint8Array(size).fill(at);
    const mixed = await measure(150, (at) => (at % 3 === 0 ? new Blob([full(1_000_000, at)]) : full(800_000, at)));
    const tiny = await measure(20_000, (at) => (at % 2 === 0 ? new Blob([`${at}`]) : `${at}`));
    storage.close();
    return { mixed, tiny };
  });
  assert.equal(result.mixed.size, 130_000_000);
  for (const { size, given } of Object.values(result)) assert.equal(size, given);
  // Two batches of 4 MiB, and what fills them up.
  assert.ok(result.mixed.bytes <= 2 * (5 << 20), `${result.mixed.bytes} bytes`);
  assert.ok(result.tiny.entries <= 2 * 512, `${result.tiny.entries} entries`);
});

/** A folder on disk, and the entries that a browser shows of it; without what is hidden if `all` is not given. */
async function folder(name) {
  const path = join(harness.profile, name);
  const files = {
    'index.html': '<p>hello',
    'pictures/leaf 水.bin': 'x'.repeat(3_000_000),
    'pictures/more/deep.txt': 'deep',
    'empty.txt': '',
    '.env': 'secret',
    '.git/config': 'secret',
    'pictures/.thumbs/1': 'secret',
    'pictures/a.b': 'not hidden',
  };
  for (const [below, content] of Object.entries(files)) {
    await mkdir(join(path, below, '..'), { recursive: true });
    await writeFile(join(path, below), content);
  }
  return { path, files };
}

/** The CIDs of such entries, without what is hidden and with it. */
const cidsOf = (files, directories = []) =>
  page.evaluate(async ([files, directories]) => {
    const storage = await kit.openStorage({ name: 'expected' });
    const entries = Object.entries(files).map(([path, content]) => ({ path, content }));
    entries.push(...directories.map((path) => ({ path })));
    const shown = entries.filter(({ path }) => !path.split('/').some((name) => name.startsWith('.')));
    const cids = [await storage.storeTree(shown), await storage.storeTree(entries)].map(({ cid }) => cid);
    storage.close();
    return cids;
  }, [files, directories]);

test('a folder that was picked is a tree by its name', async () => {
  const { path, files } = await folder('.picked folder');
  await page.evaluate(() => document.body.insertAdjacentHTML('beforeend', '<input type="file" id="folder" webkitdirectory>'));
  await page.setInputFiles('#folder', path);
  const result = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'picked tree' });
    const { files } = document.querySelector('#folder');
    const stored = [await storage.storeTree(files), await storage.storeTree([...files], { hidden: true, filename: 'other' })];
    const picked = [new File(['1'], 'one.txt'), new File(['2'], '.two')];
    const flat = await storage.storeTree(picked);
    const listed = Object.keys(await walk(storage, flat.cid));
    const mixed = await walk(storage, (await storage.storeTree([...files, ...picked])).cid);
    const none = await storage.storeTree(document.querySelector('#file').files);
    const odd = await thrown(storage.storeTree([...picked, undefined]));
    storage.close();
    return { count: files.length, stored, flat, listed, mixed: Object.keys(mixed), none, odd };
  });
  await writeFile(join(path, 'index.html'), 'changed since it was picked');
  const changed = await page.evaluate(async () => {
    const storage = await kit.openStorage({ name: 'changed' });
    const error = await thrown(storage.storeTree(document.querySelector('#folder').files));
    const { blocks, roots } = await storage.backendStatus();
    storage.close();
    return { name: error?.name, blocks, roots };
  });
  assert.deepEqual(changed, { name: 'NotReadableError', blocks: 0, roots: 0 });
  assert.equal(result.count, 8);
  assert.deepEqual(result.stored.map(({ cid }) => cid), await cidsOf(files));
  assert.deepEqual(result.stored.map(({ filename }) => filename), ['.picked folder', 'other']);
  assert.deepEqual([result.listed, result.flat.filename], [['.two', 'one.txt'], undefined]);
  assert.deepEqual(result.mixed.filter((path) => !path.includes('/')), ['.picked folder', '.two', 'one.txt']);
  assert.ok(result.mixed.includes('.picked folder/pictures/more/deep.txt'));
  assert.equal(result.none.cid, 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354');
  assert.equal(result.odd.code, 'invalid-argument');
});

test('a folder that was opened is a tree by its name', async () => {
  const files = { 'a.txt': 'a', 'b/c/d.txt': 'd', 'b/.e': 'hidden', '.f/g': 'hidden', 'large.bin': 'y'.repeat(2_500_000) };
  for (let at = 0; at < 200; at += 1) files[`many/${at}`] = `${at}`;
  const result = await page.evaluate(async (files) => {
    const storage = await kit.openStorage({ name: 'opened' });
    const root = await navigator.storage.getDirectory();
    const top = await root.getDirectoryHandle('top', { create: true });
    await top.getDirectoryHandle('nothing in it', { create: true });
    for (const [path, content] of Object.entries(files)) {
      const names = path.split('/');
      let within = top;
      for (const name of names.slice(0, -1)) within = await within.getDirectoryHandle(name, { create: true });
      const to = await (await within.getFileHandle(names.at(-1), { create: true })).createWritable();
      await to.write(content);
      await to.close();
    }
    const steps = [];
    const onProgress = (step) => steps.push(step);
    const stored = [await storage.storeTree(top, { onProgress }), await storage.storeTree(top, { hidden: true })];
    const nameless = await storage.storeTree(root);
    const within = await storage.stat(`${nameless.cid}/top`);
    await root.removeEntry('top', { recursive: true });
    const gone = await thrown(storage.storeTree(top));
    storage.close();
    return { stored, nameless, within, gone, last: steps.at(-1) };
  }, files);
  const expected = await cidsOf(files, ['nothing in it']);
  assert.deepEqual(result.stored.map(({ cid }) => cid), expected);
  assert.deepEqual(result.stored.map(({ filename }) => filename), ['top', 'top']);
  assert.deepEqual([result.nameless.filename, result.within.cid], [undefined, expected[0]]);
  assert.equal(result.gone.name, 'NotFoundError');
  assert.deepEqual([result.last.done, result.last.files], [result.stored[0].size, 203]);
});

test('what is dropped is a tree: a folder by its name, or several things', async () => {
  const { path, files } = await folder('dropped folder');
  const other = join(harness.profile, '.single.txt');
  await writeFile(other, 'single');
  await page.evaluate(async () => {
    window.drops = [];
    window.dropped = await kit.openStorage({ name: 'dropped' });
    document.body.insertAdjacentHTML('afterbegin', '<div id="drop" style="height: 100px; background: silver">here</div>');
    const drop = document.querySelector('#drop');
    drop.addEventListener('dragover', (event) => event.preventDefault());
    drop.addEventListener('drop', (event) => {
      event.preventDefault();
      drops.push(dropped.storeTree(event.dataTransfer, { hidden: window.alsoHidden }));
    });
  });
  const session = await harness.browser.newCDPSession(page);
  const drop = async (paths, alsoHidden = false) => {
    await page.evaluate((hidden) => void (window.alsoHidden = hidden), alsoHidden);
    const data = { items: [], files: paths, dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      await session.send('Input.dispatchDragEvent', { type, x: 50, y: 50, data });
    }
    await page.waitForFunction(() => window.drops.length > 0);
    return page.evaluate(() => window.drops.pop());
  };
  const stored = [await drop([path]), await drop([path], true)];
  assert.deepEqual(stored.map(({ cid }) => cid), await cidsOf(files));
  assert.deepEqual(stored.map(({ filename }) => filename), ['dropped folder', 'dropped folder']);
  const both = await drop([path, other]);
  const listed = await page.evaluate(async ({ cid }) => {
    const late = new DataTransfer();
    late.items.add(new File(['made'], 'made by a script.txt'));
    late.items.add('text', 'text/plain');
    const made = await dropped.storeTree(late.items);
    const listed = Object.keys(await walk(dropped, made.cid));
    return { both: Object.keys(await walk(dropped, cid)), listed };
  }, both);
  assert.deepEqual(listed.both.filter((path) => !path.includes('/')), ['.single.txt', 'dropped folder']);
  assert.ok(listed.both.includes('dropped folder/pictures/more/deep.txt'));
  assert.ok(!listed.both.some((path) => path.includes('/.')));
  assert.equal(both.filename, undefined);
  assert.deepEqual(listed.listed, ['made by a script.txt']);
});

// The importer of Helia, in Node.
const required = createRequire(join(ROOT, 'tests/counterparts/package.json'));
const library = (name) => import(pathToFileURL(required.resolve(name)).href);

/** The CID that the importer gives the tree of such entries. */
async function imported(entries, profile) {
  const [{ importer }, { MemoryBlockstore }] = await Promise.all(['ipfs-unixfs-importer', 'blockstore-core'].map(library));
  const candidates = function* () {
    for (const { path, content, target, mode, mtime } of entries) {
      const time = mtime !== undefined && { secs: BigInt(Math.floor(mtime / 1000)), nsecs: (mtime - Math.floor(mtime / 1000) * 1000) * 1e6 || undefined };
      yield { path, content, link: target, mode, mtime: time || undefined };
    }
  };
  let last;
  for await (const entry of importer(candidates(), new MemoryBlockstore(), { profile, wrapWithDirectory: true })) last = entry;
  return String(last.cid);
}

/**
 * The entries of a pseudorandom tree, directories before what is in them: the importer forgets what is in one that comes later.
 * With metadata only by profile v1: by v0 the importer wraps a file of one chunk twice when it has some.
 */
function random(seed, profile) {
  let state = seed * 7919 + 1;
  const next = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const letters = ['a', 'B', '7', ' ', '.', '-', '%2F', '#', '?', '"', "'", 'é', 'e\u0301', '水', '😀', 'ß', '\u202e', '\n', '\\'];
  const name = (at) => {
    const length = next(20) === 0 ? 60 : 1 + next(8);
    return `${Array.from({ length }, () => letters[next(letters.length)]).join('')}${at}`;
  };
  const size = () => [0, 0, next(100), next(5000), next(300_000), 262_144, 262_145, 1_048_576, 1_048_577 + next(900_000)][next(100) > 4 ? next(4) : next(9)];
  const bytes = (length) => {
    const made = new Uint8Array(length);
    for (let at = 0; at < length; at += 1 + (length >> 9)) made[at] = next(256);
    return made;
  };
  const metadata = () => {
    if (profile !== 'unixfs-v1-2025' || next(2) === 0) return {};
    const mtime = [0, -1, -1500, 1_700_000_000_000, 1_700_000_000_123, 253_402_300_799_999][next(6)];
    const mode = [0, 0o400, 0o600, 0o644, 0o755, 0o1777, 0o7777][next(7)];
    return [{ mtime }, { mode }, { mode, mtime }][next(3)];
  };
  const entries = [];
  const directories = [''];
  for (let at = 0; at < 120; at += 1) {
    const above = directories[next(3) === 0 ? directories.length - 1 : next(directories.length)];
    const path = above + name(at);
    const kind = next(10);
    if (kind < 3 && path.split('/').length < 30) {
      entries.push({ path, ...metadata() });
      directories.push(`${path}/`);
    } else if (kind === 3) {
      entries.push({ path, target: `../${name(at)}/${name(at)}`, ...metadata() });
    } else {
      entries.push({ path, content: bytes(size()), ...metadata() });
    }
  }
  return entries;
}

/** A directory of so many files, among others, and so many empty directories beside it. */
function* threshold(files, directories) {
  for (let at = 0; at < directories; at += 1) yield { path: `beside/${at}` };
  for (let at = 0; at < files; at += 1) {
    yield { path: `many/${String(at).padStart(20, '0')}`, content: new TextEncoder().encode(`${at % 10}`) };
  }
}

test('random trees have the CIDs that the importer gives them', async () => {
  let checked = 0;
  for (const profile of ['unixfs-v1-2025', 'unixfs-v0-2015']) {
    const stored = await page.evaluate(async (profile) => {
      const storage = await kit.openStorage({ name: `random ${profile}` });
      const stored = [];
      for (let seed = 0; seed < 20; seed += 1) {
        const entries = random(seed, profile);
        // Half of them as a browser has files.
        const given = entries.map(({ content, ...rest }, at) => ({ ...rest, content: content && at % 2 ? new Blob([content]) : content }));
        const { cid } = await storage.storeTree(given, { layout: { profile } });
        const found = Object.keys(await walk(storage, cid));
        stored.push({ cid, missing: entries.filter(({ path }) => !found.includes(path)).map(({ path }) => path) });
      }
      storage.close();
      return stored;
    }, profile);
    for (const [seed, { cid, missing }] of stored.entries()) {
      assert.equal(cid, await imported(random(seed, profile), profile), `${profile}, seed ${seed}`);
      assert.deepEqual(missing, []);
      checked += 1;
    }
  }
  assert.equal(checked, 40);
});

test('around the size from which directories are in shards they have the CIDs that the importer gives them', async () => {
  // Of a link: by v0 its name and CID; by v1 the bytes that it takes, its size included.
  const cases = { 'unixfs-v1-2025': [64, 4], 'unixfs-v0-2015': [20 + 34, 0] };
  for (const [profile, [link, rest]] of Object.entries(cases)) {
    const most = Math.floor((262_144 - rest) / link);
    const counts = [most - 1, most, most + 1, most + 2];
    const stored = await page.evaluate(async ([profile, counts]) => {
      const storage = await kit.openStorage({ name: `threshold ${profile}` });
      const stored = [];
      for (const count of counts) {
        const { cid } = await storage.storeTree(threshold(count, 500), { layout: { profile } });
        const { files } = await storage.listFiles(`${cid}/many`, { limit: 10_000 });
        stored.push({ cid, listed: files.length });
      }
      storage.close();
      return stored;
    }, [profile, counts]);
    const expected = [];
    for (const count of counts) expected.push({ cid: await imported(threshold(count, 500), profile), listed: count });
    assert.deepEqual(stored, expected, profile);
  }
});
