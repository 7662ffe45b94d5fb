// A store of very many small blocks against one of a thousand: both in one run, in turn.

import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inPage, install, serve } from './chromium.mjs';
import { Figures, ROOT, limitBar, ratioLimit, run, table } from './common.mjs';
import { COMPONENT, buildHost } from './wasi.mjs';

const FEW = 1000;
const MANY = { wasi: 1_000_000, browser: 100_000 };
const MANY_QUICKLY = { wasi: 100_000, browser: 10_000 };
const MOST_BYTES_A_BLOCK = 100;

export async function keeping(folder, repetitions) {
  const { wasi, browser } = repetitions === 1 ? MANY_QUICKLY : MANY;
  await inWasmtime(folder, repetitions, wasi);
  await inBrowser(folder, repetitions, browser);
}

async function inWasmtime(folder, repetitions, many) {
  const host = await buildHost();
  await copyFile(COMPONENT, join(folder, 'component.wasm'));
  const call = (...args) => run(host, args.map(String));
  const measure = async (blocks, round) => JSON.parse(await call('keeping', folder, blocks, round));
  await call('compile', folder);
  const figures = new Figures();
  figures.add('filled', JSON.parse(await call('keeping-fill', folder, many)));
  for (let round = 1; round <= repetitions; round++) {
    console.log(`many blocks under WASI, repetition ${round} of ${repetitions}`);
    await call('keeping-fill', folder, FEW);
    for (const [name, blocks] of [['few', FEW], ['many', many]]) {
      await call('keeping-litter', folder, blocks, round);
      figures.add(name, await measure(blocks, round));
    }
    await rm(join(folder, 'stores', `keeping-${FEW}`), { recursive: true });
  }
  await rm(join(folder, 'stores'), { recursive: true });
  printWasi(figures, many);
}

function printWasi(figures, many) {
  const both = (read) => [read('many'), read('few')];
  const milliseconds = (name) => both((store) => figures.milliseconds(`${store}.${name}`));
  const microseconds = (name) => both((store) => figures.of(`${store}.${name}`, (seconds) => seconds * 1e6));
  const perSecond = (name, time) => both((store) => rate(figures, store, name, time));
  const heap = (name) => both((store) => figures.megabytes(`${store}.${name}`));
  table(`WASI: ${count(many)} blocks of 1 KiB in the pack, in wasmtime 49`, [`${count(many)} blocks`, count(FEW)], [
    row('open after a clean close', 'ms', milliseconds('open')),
    row('  without the index, by the log', 'ms', milliseconds('replay')),
    row('scan: verify all blocks', 'ms', milliseconds('verify')),
    row('  only read the files, natively', 'ms', milliseconds('read')),
    row('get a block, median', 'µs', microseconds('get')),
    row('  p99', 'µs', microseconds('getP99')),
    row('put a file of one block, relaxed, median', 'µs', microseconds('put')),
    row('  p99', 'µs', microseconds('putP99')),
    row('  strict, median', 'µs', microseconds('putStrict')),
    row('  p99', 'µs', microseconds('putStrictP99')),
    row('collection, a quarter is garbage', 'ms', milliseconds('collect')),
    row('  examined', 'blocks/s', perSecond('examined', 'collect')),
    row('  freed', 'blocks/s', perSecond('freed', 'collect')),
    row('  marking', 'ms', milliseconds('mark')),
    row('  sweeping', 'ms', milliseconds('sweep')),
    row('  compacting', 'ms', milliseconds('compact')),
    row('  a step, median', 'ms', milliseconds('step')),
    row('  the longest, marking', 'ms', milliseconds('markLongest')),
    row('  sweeping', 'ms', milliseconds('sweepLongest')),
    row('  compacting', 'ms', milliseconds('compactLongest')),
    row('wasm heap, opened', 'MB', heap('heapOpen')),
    row('  after gets', 'MB', heap('heapGets')),
    row('  after puts', 'MB', heap('heapPuts')),
    row('  after a collection', 'MB', heap('heapCollect')),
    row('index on disk', 'B/block', both((store) => perBlock(figures, store, 'index'))),
  ]);
  const open = figures.milliseconds('many.open');
  ratioLimit('open, to a scan', open, figures.milliseconds('many.verify'), 0.1);
  ratioLimit(`get, to ${count(FEW)} blocks, median`, ...microseconds('get'), 2);
  ratioLimit('  p99', ...microseconds('getP99'), 2);
  // In smaller stores the fixed part weighs more: what opening may have to replay.
  if (many < MANY.wasi) return;
  for (const [what, name] of [['opened', 'heapOpen'], ['after puts', 'heapPuts'], ['after a collection', 'heapCollect']]) {
    limitBar(`heap for each further block, ${what}`, growth(figures, `many.${name}`, `few.${name}`), MOST_BYTES_A_BLOCK, 'B');
  }
  limitBar('  after storing them', growth(figures, 'filled.heap', 'few.heapPuts'), MOST_BYTES_A_BLOCK, 'B');
}

async function inBrowser(folder, repetitions, many) {
  const site = join(folder, 'keeping-site');
  const chromium = await install(site, 'keeping.js');
  const server = await serve(site, '<script type="module" src="keeping.js"></script>');
  const figures = new Figures();
  try {
    for (let round = 1; round <= repetitions; round++) {
      console.log(`many blocks in a browser, repetition ${round} of ${repetitions}`);
      for (const [name, blocks] of [['few', FEW], ['many', many]]) {
        await inPage(chromium, folder, server.origin, async ({ call }) => {
          figures.add(name, await call('fill', blocks));
          for (const step of ['open', 'get', 'verify', 'put', 'collect']) figures.add(name, await call(step));
          await call('close');
        });
      }
    }
  } finally {
    server.close();
  }
  printBrowser(figures, many);
}

function printBrowser(figures, many) {
  const both = (read) => [read('many'), read('few')];
  const milliseconds = (name) => both((store) => figures.milliseconds(`${store}.${name}`));
  const perSecond = (name, time) => both((store) => rate(figures, store, name, time));
  table(`Browser: ${count(many)} blocks of 1 KiB over IndexedDB, in Chromium`, [`${count(many)} blocks`, count(FEW)], [
    row('open', 'ms', milliseconds('open')),
    row('scan: verify all blocks', 'ms', milliseconds('verify')),
    row('getBlock, median', 'ms', milliseconds('get')),
    row('  p99', 'ms', milliseconds('getP99')),
    row('putBlocks of one, relaxed, median', 'ms', milliseconds('put')),
    row('  p99', 'ms', milliseconds('putP99')),
    row('store of one block, relaxed, median', 'ms', milliseconds('store')),
    row('  p99', 'ms', milliseconds('storeP99')),
    row('collection, a quarter is garbage', 'ms', milliseconds('collect')),
    row('  examined', 'blocks/s', perSecond('examined', 'collect')),
    row('  freed', 'blocks/s', perSecond('freed', 'collect')),
    row("  the thread's longest pause", 'ms', milliseconds('pauseLongest')),
  ]);
  ratioLimit(`get in a browser, to ${count(FEW)} blocks, median`, ...milliseconds('get'), 2);
}

/** Without a ratio where the small store gives nothing to compare with. */
function row(what, unit, [many, few]) {
  return few.includes(0) ? [what, unit, many] : [what, unit, many, few];
}

function rate(figures, store, name, time) {
  const seconds = figures.of(`${store}.${time}`);
  return figures.of(`${store}.${name}`).map((value, at) => Math.round(value / seconds[at]));
}

function perBlock(figures, store, name) {
  const blocks = figures.of(`${store}.blocks`);
  return figures.of(`${store}.${name}`).map((value, at) => value / blocks[at]);
}

/** By how much the heap of the larger store is larger, for each block that it has more. */
function growth(figures, larger, smaller) {
  const blocks = figures.of('many.blocks').map((many, at) => many - figures.of('few.blocks')[at]);
  const from = figures.of(smaller);
  return figures.of(larger).map((value, at) => (value - from[at]) / blocks[at]);
}

function count(number) {
  return number.toLocaleString('en');
}
