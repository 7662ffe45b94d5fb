// Fetching over loopback, with a delay before each request: the command in wasmtime and the package in Chromium against one
// plain fetch of the same CAR, which proves and keeps nothing, and against Helia. Each into a fresh store, in turn.

import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inPage, install, serve } from './chromium.mjs';
import { Figures, MIB, ROOT, limitBar, npmPackages, ratioBar, ratioLimit, run, table } from './common.mjs';

const COUNTERPARTS = join(ROOT, 'tests/counterparts');
const COMMAND = join(ROOT, 'dist/ipfs-kit-storage.cli-http.wasm');
const WASMTIME = process.env.WASMTIME ?? 'wasmtime';
const DELAY = 25;
const FILE_BYTES = 64 * MIB;
const FILES = 500;
const EACH_BYTES = 4096;

/** What is fetched: how the page calls it, and how a plain fetch asks for all of it. */
const STEPS = {
  file: { how: 'fetchFile', query: 'format=car&dag-scope=all', bytes: FILE_BYTES },
  // As the engine asks for a file; this gateway makes that CAR in a shorter way.
  ranged: { how: 'fetchFile', query: 'format=car&dag-scope=entity&entity-bytes=0:*', bytes: FILE_BYTES },
  directory: { how: 'fetchDirectory', query: 'format=car&dag-scope=all', bytes: FILES * EACH_BYTES },
};

export async function fetching(folder, repetitions) {
  await npmPackages(COUNTERPARTS);
  const site = join(folder, 'fetch-site');
  const chromium = await install(site, 'fetch.js');
  const command = join(folder, 'cli-http.cwasm');
  await run(WASMTIME, ['compile', '-o', command, COMMAND]);
  const { start } = await import(join(COUNTERPARTS, 'counterparts.mjs'));
  const closing = [];
  try {
    const gateway = await start('gateway');
    closing.push(gateway.stop);
    const proxy = await start('faults', gateway.url);
    closing.push(proxy.stop);
    const server = await serve(site, '<script type="module" src="fetch.js"></script>');
    closing.push(server.close);
    const roots = await fill(gateway);
    await proxy.put('/-/delay', DELAY);
    const bench = { folder, command, proxy, roots };
    const page = (name, steps) => inPage(chromium, folder, server.origin, (page) => inBrowser(bench, page, name, steps));
    // Nothing is done for the first time later, by the gateway neither.
    for (const step of Object.keys(STEPS)) await plain(bench, step);
    const figures = new Figures();
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      console.log(`fetch, repetition ${repetition} of ${repetitions}`);
      for (const step of Object.keys(STEPS)) figures.add(`node.${step}`, await plain(bench, step));
      for (const step of ['file', 'directory']) figures.add(`wasi.${step}`, await underWasmtime(bench, step));
      for (const name of ['plain', 'ours', 'helia']) {
        const steps = name === 'plain' ? Object.keys(STEPS) : ['file', 'directory'];
        for (const [step, measured] of Object.entries(await page(name, steps))) figures.add(`${name}.${step}`, measured);
      }
    }
    print(figures);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** The gateway's data: the CIDs, and the hash of the file. */
async function fill(gateway) {
  const file = await gateway.post(`/-/random?size=${FILE_BYTES}&seed=1`);
  const files = Array.from({ length: FILES }, (_, at) => ({
    path: `file-${String(at).padStart(3, '0')}`,
    size: EACH_BYTES,
    seed: 2 + at,
  }));
  const directory = await gateway.post('/-/tree', files);
  const small = await gateway.post('/-/tree', [{ path: 'warm', size: EACH_BYTES, seed: 1000 }]);
  const warm = await gateway.post(`/-/random?size=${4 * MIB}&seed=1001`);
  return {
    file: file.cid,
    ranged: file.cid,
    directory: directory.cid,
    sha256: file.sha256,
    warm: { fetchFile: warm.cid, fetchDirectory: small.cid },
  };
}

/** What `use` measures, and the requests it takes. */
async function counted({ proxy }, use) {
  await proxy.remove('/-/requests');
  const measured = await use();
  const { requests, sent } = await proxy.get('/-/requests');
  return { seconds: measured.seconds, requests: requests.length, sent, bytes: measured.bytes };
}

function complete(step, bytes) {
  if (bytes < STEPS[step].bytes) throw new Error(`${bytes} bytes of the ${step} came`);
}

/** One plain fetch in Node. */
async function plain({ proxy, roots }, step) {
  return counted({ proxy }, async () => {
    const start = performance.now();
    const { body } = await fetch(`${proxy.url}/ipfs/${roots[step]}?${STEPS[step].query}`);
    let bytes = 0;
    for await (const piece of body) bytes += piece.length;
    const seconds = since(start);
    complete(step, bytes);
    return { seconds, bytes };
  });
}

/** The command, compiled before, without the time that its process takes to start. */
async function underWasmtime(bench, step) {
  const { folder, command, proxy, roots } = bench;
  const store = join(folder, 'fetched');
  const output = join(folder, 'output');
  for (const one of [store, output]) await mkdir(one);
  const folders = ['--dir', `${store}::/store`, '--dir', `${output}::/output`];
  const call = async (...args) => {
    const before = performance.now();
    const printed = await run(WASMTIME, ['run', '--allow-precompiled', '-S', 'http', ...folders, command, ...args]);
    return { seconds: since(before), printed };
  };
  const options = ['--store', '/store', '--durability', 'relaxed'];
  const asked = {
    file: ['retrieve', roots.file, '-o', '/output/file'],
    directory: ['pin', roots.directory],
  };
  const { seconds: start } = await call('--version');
  const measured = await counted(bench, () => call(...options, '--remote', proxy.url, ...asked[step]));
  complete(step, JSON.parse((await call(...options, '--json', 'status')).printed.split('\n')[0]).bytes);
  if (step === 'file') {
    const hash = createHash('sha256').update(await readFile(join(output, 'file')));
    if (hash.digest('hex') !== roots.sha256) throw new Error('another file came');
  }
  for (const one of [store, output]) await rm(one, { recursive: true });
  return { ...measured, seconds: measured.seconds - start, start };
}

/** One engine in a page, which has been warmed up with other data. */
async function inBrowser(bench, { call }, name, steps) {
  const { proxy, roots } = bench;
  const path = (how, cid) => (name === 'plain' ? `${cid}?${how}` : cid);
  const warm = Object.entries(roots.warm).map(([how, cid]) => [how, path('format=car&dag-scope=all', cid)]);
  await call('open', name, proxy.url, steps, Object.fromEntries(warm));
  const figures = {};
  for (const step of steps) {
    const { how, query } = STEPS[step];
    figures[step] = await counted(bench, () => call('fetch', step, how, path(query, roots[step])));
    complete(step, (await call('held', step)) ?? figures[step].bytes);
  }
  return figures;
}

function print(figures) {
  const time = (name) => figures.milliseconds(`${name}.seconds`);
  const requests = (name) => figures.of(`${name}.requests`);
  const speed = (name) => figures.perSecond(`${name}.seconds`, FILES);
  const sent = (name) => figures.megabytes(`${name}.sent`);
  const directory = `${FILES} files of ${EACH_BYTES / 1024} KiB`;
  const rows = (ours, other) => [
    ['file of 64 MiB', 'ms', time(`${ours}.file`), time(`${other}.file`)],
    ['  requests', '', requests(`${ours}.file`), requests(`${other}.file`)],
    [directory, 'ms', time(`${ours}.directory`), time(`${other}.directory`)],
    ['  requests', '', requests(`${ours}.directory`), requests(`${other}.directory`)],
    ['  bytes sent', 'MB', sent(`${ours}.directory`), sent(`${other}.directory`)],
  ];
  const ranged = (ours, other) => [
    'file, plain fetch by entity-bytes, as ours',
    'ms',
    time(`${ours}.file`),
    time(`${other}.ranged`),
  ];
  const title = `Fetch, ${DELAY} ms before each request`;
  table(`${title}: the command in wasmtime, and one plain fetch of the CAR in Node`, ['ours', 'plain CAR'], [
    ...rows('wasi', 'node'),
    ranged('wasi', 'node'),
    ['start of the process, not counted', 'ms', figures.milliseconds('wasi.directory.start')],
  ]);
  table(`${title}: the package in Chromium, and one plain fetch of the CAR in the page`, ['ours', 'plain CAR'], [
    ...rows('ours', 'plain'),
    ranged('ours', 'plain'),
  ]);
  const both = 'the package and Helia 7 with its gateway broker over blockstore-idb, both in Chromium';
  table(`${title}: ${both}`, ['ours', 'Helia'], rows('ours', 'helia'));
  const homes = { WASI: ['wasi', 'node'], Chromium: ['ours', 'plain'] };
  for (const [where, [ours, other]] of Object.entries(homes)) {
    ratioLimit(`file, ${where}`, time(`${ours}.file`), time(`${other}.file`), 1.3);
    limitBar(`file, ${where}`, requests(`${ours}.file`), 10, 'requests');
    ratioLimit(`directory, ${where}`, time(`${ours}.directory`), time(`${other}.directory`), 2);
    ratioBar(`directory, ${where}, against Helia in Chromium`, speed(`${ours}.directory`), speed('helia.directory'), 20);
  }
}

function since(start) {
  return (performance.now() - start) / 1000;
}
