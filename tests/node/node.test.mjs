// The package in Node, over folders, together with the command under wasmtime, which keeps its stores in the same format.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const { CorruptError, LockedError, openStorage } = await import(join(DIST, 'npm/node.js'));

let home;
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'ipfs-kit-node-'));
});
after(() => rm(home, { recursive: true, force: true }));

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Bytes that only the seed decides. */
function noise(size, seed) {
  let state = seed >>> 0 || 1;
  return Uint8Array.from({ length: size }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 11;
  });
}

/** The command, on a store. */
function wasi(store, ...command) {
  const folders = ['--dir', `${store}::/store`, '--dir', `${home}::/in`];
  const cli = join(DIST, 'ipfs-kit-storage.cli.wasm');
  const options = { maxBuffer: Infinity, stdio: ['ignore', 'pipe', 'inherit'] };
  return execFileSync(process.env.WASMTIME ?? 'wasmtime', ['run', ...folders, cli, '--store', '/store', ...command], options);
}

test('what was stored is there when the folder is opened again', async () => {
  const directory = join(home, 'again');
  const data = noise(9_500_000, 1);
  const first = await openStorage({ directory });
  const stored = await first.store(data, { filename: 'large', pin: true });
  await first.storeMany([{ data: 'small' }, { data: noise(100, 2) }]);
  await first.setName('latest', stored.cid);
  await first.files.write('/a/b.txt', 'text', { create: true, parents: true });
  assert.deepEqual(fs.readdirSync(directory).sort(), ['owner', 'segment-00000001']);
  first.close();
  await assert.rejects(first.stat(stored.cid), { code: 'cancelled' });
  const again = await openStorage({ directory });
  assert.equal(sha(await again.retrieve(stored.cid)), sha(data));
  assert.deepEqual(await again.stat(stored.cid), stored);
  assert.equal((await again.getName('latest')).cid, stored.cid);
  assert.equal(new TextDecoder().decode(await again.files.read('/a/b.txt')), 'text');
  const { backends, roots, pinned, quota } = await again.backendStatus();
  assert.deepEqual([backends[0].kind, roots, pinned, quota], ['pack', 3, 1, undefined]);
  again.close();
});

test('streams and ranges', async () => {
  const storage = await openStorage({ directory: join(home, 'streams') });
  const data = noise(5_000_000, 3);
  const source = (async function* () {
    for (let at = 0; at < data.length; at += 77_777) yield data.subarray(at, at + 77_777);
  })();
  const { cid } = await storage.store(source);
  const hash = createHash('sha256');
  for await (const piece of storage.stream(cid)) hash.update(piece);
  assert.equal(hash.digest('hex'), sha(data));
  const range = await storage.retrieve(cid, { offset: 1_048_570, length: 100_000 });
  assert.equal(sha(range), sha(data.subarray(1_048_570, 1_148_570)));
  const file = await fs.openAsBlob(fileURLToPath(import.meta.url));
  const { size } = await storage.store(file);
  assert.equal(size, file.size);
  storage.close();
});

test('what Node stores the command reads, and the other way round', async () => {
  const directory = join(home, 'shared');
  const data = noise(3_000_000, 4);
  let storage = await openStorage({ directory });
  const { cid } = await storage.store(data, { filename: 'of Node', pin: true });
  storage.close();
  await new Promise((resolve) => setTimeout(resolve)); // it gives the lease back on the way
  assert.equal(sha(wasi(directory, 'retrieve', cid)), sha(data));
  await writeFile(join(home, 'file'), noise(2_500_000, 5));
  const [other] = wasi(directory, 'store', '/in/file').toString().split(' ');
  storage = await openStorage({ directory });
  assert.equal(sha(await storage.retrieve(other)), sha(noise(2_500_000, 5)));
  const listed = [];
  for await (const { cid } of storage.ls()) listed.push(cid);
  assert.deepEqual(listed.sort(), [cid, other].sort());
  const { sound } = await storage.verify();
  assert.ok(sound);
  storage.close();
});

test('one process at a time has a folder open', async () => {
  const directory = join(home, 'owned');
  const storage = await openStorage({ directory });
  await assert.rejects(openStorage({ directory }), LockedError);
  storage.close();
  (await openStorage({ directory })).close();
});

test('a process killed in the midst of storing loses nothing acknowledged', async () => {
  const directory = join(home, 'killed');
  const program = `
    import { openStorage } from ${JSON.stringify(join(DIST, 'npm/node.js'))};
    const storage = await openStorage({ directory: ${JSON.stringify(directory)} });
    for (let n = 1; ; n += 1) {
      const data = new Uint8Array(n % 4 === 0 ? 2_000_000 : 20_000).fill(n);
      const { cid } = await storage.store(data);
      console.log(cid, data.length, n);
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = [];
  let text = '';
  await new Promise((resolve) => {
    child.stdout.on('data', (more) => {
      text += more;
      lines.splice(0, Infinity, ...text.split('\n').slice(0, -1));
      if (lines.length >= 20) resolve();
    });
  });
  const dead = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGKILL');
  await dead;
  await rm(join(directory, 'owner')); // as its ten seconds do
  const storage = await openStorage({ directory });
  for (const line of lines) {
    const [cid, length, n] = line.split(' ');
    assert.equal(sha(await storage.retrieve(cid)), sha(new Uint8Array(Number(length)).fill(n)));
  }
  storage.close();
});

test('damage is reported, and healed by storing it again', async () => {
  const directory = join(home, 'damaged');
  const data = noise(900_000, 6);
  let storage = await openStorage({ directory });
  const { cid } = await storage.store(data);
  storage.close();
  const segment = (await readdir(directory)).find((name) => name.startsWith('segment'));
  const file = await open(join(directory, segment), 'r+');
  await file.write(new Uint8Array([1, 2, 3, 4]), 0, 4, 400_000);
  await file.close();
  storage = await openStorage({ directory });
  await assert.rejects(storage.retrieve(cid), CorruptError);
  await storage.store(data);
  assert.equal(sha(await storage.retrieve(cid)), sha(data));
  storage.close();
});

test('IPFS_KIT_DISABLE keeps a process off the network', () => {
  const program = `
    const { openStorage } = await import(process.argv[1]);
    const storage = await openStorage({ directory: process.argv[2], remotes: ['http://127.0.0.1:1'] });
    const cid = 'bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy';
    const { code, reason } = await storage.retrieve(cid).catch((error) => error);
    storage.close();
    console.log(code, reason);
  `;
  const says = (value) => {
    const env = { ...process.env, IPFS_KIT_DISABLE: value };
    const words = ['--input-type=module', '--eval', program, join(DIST, 'npm/node.js'), join(home, `disabled-${value}`)];
    return execFileSync(process.execPath, words, { env, encoding: 'utf8' }).trim();
  };
  assert.equal(says('1'), 'not-available-offline disabled');
  assert.equal(says('0'), 'unavailable undefined');
});
