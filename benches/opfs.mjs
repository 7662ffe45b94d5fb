// The npm package in headless Chromium over OPFS, with its engine in a worker, against Helia, and against what the browser
// gives by itself: each in a fresh profile on disk, in turn.

import { join } from 'node:path';
import { inPage, install, serve } from './chromium.mjs';
import { Figures, RANGES, RANGE_BYTES, SMALL_BYTES, SMALL_FILES, limitBar, ratioBar, table } from './common.mjs';

const OPFS = ['relaxed', [], { tier: 'opfs' }];
/** Everything fits into its memory. */
const ROOMY = ['relaxed', [], { tier: 'opfs', memoryBytes: 512 * 1024 * 1024 }];
const TRUSTING = ['relaxed', [], { tier: 'opfs', verification: 'on-first-read' }];
/** Milliseconds that one task of the page's thread may take. */
const MAX_HELD = 16;

export async function opfs(folder, repetitions) {
  const site = join(folder, 'site');
  const chromium = await install(site, 'page.js');
  const server = await serve(site, '<input type="file"><script type="module" src="page.js"></script>');
  const withPage = (use) =>
    inPage(chromium, folder, server.origin, async (tools) => {
      await tools.page.locator('input').setInputFiles(join(folder, 'big'));
      return use(tools);
    });
  const figures = new Figures();
  try {
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      console.log(`opfs, repetition ${repetition} of ${repetitions}`);
      figures.add('limit', await withPage(({ call }) => call('pipeline')));
      figures.add('ours', await withPage(ours));
      if (!process.env.ALONE) figures.add('helia', await withPage(helia));
    }
  } finally {
    server.close();
  }
  print(figures);
}

async function ours({ call, longestTask }) {
  const figures = {};
  const measure = async (name, ...step) => {
    const { seconds, cid } = await call(...step);
    figures[name] = seconds;
    if (cid) figures.cid = cid;
  };
  const ranges = ['ranges', RANGES, RANGE_BYTES];
  await call('open', 'ours', ...OPFS);
  await measure('import', 'import');
  await call('reopen', ...OPFS);
  await measure('read', 'read');
  await call('reopen', ...OPFS);
  await measure('cold', ...ranges);
  await call('reopen', ...ROOMY);
  await call(...ranges);
  await measure('warm', ...ranges);
  await call('reopen', ...TRUSTING);
  await call('read');
  await measure('again', 'read');
  await measure('together', 'small', 'together', SMALL_FILES, SMALL_BYTES);
  await measure('each', 'small', 'each', SMALL_FILES, SMALL_BYTES);
  // Once more, watched, in another store: to watch costs something.
  await call('open', 'ours', ...OPFS);
  figures.held = await longestTask(async () => {
    await call('import');
    await call('read');
    await call(...ranges);
  });
  return figures;
}

async function helia({ call }) {
  await call('open', 'helia');
  const { seconds, cid } = await call('import');
  const read = await call('read');
  const ranges = await call('ranges', RANGES, RANGE_BYTES);
  const small = await call('small', 'together', SMALL_FILES, SMALL_BYTES);
  return { cid, import: seconds, read: read.seconds, ranges: ranges.seconds, together: small.seconds };
}

function print(figures) {
  const large = (name) => figures.megabytesPerSecond(name);
  const small = (name) => figures.perSecond(name, SMALL_FILES);
  const ranges = (name) => figures.perSecond(name, RANGES);
  table('The same against this browser: a file read, hashed by workers and appended to OPFS', ['ours', 'limit'], [
    ['import 256 MiB / pipeline', 'MB/s', large('ours.import'), large('limit.import')],
    ['read back / OPFS and SHA-256, one thread', 'MB/s', large('ours.read'), large('limit.read')],
    ['read back, once verified', 'MB/s', large('ours.again')],
    ['ranges, cold', 'ranges/s', ranges('ours.cold')],
    ['ranges, warm', 'ranges/s', ranges('ours.warm')],
    ['small, together', 'files/s', small('ours.together')],
    ['small, each', 'files/s', small('ours.each')],
    ["longest task of the page's thread", 'ms', figures.of('ours.held')],
  ]);
  ratioBar('import / pipeline', large('ours.import'), large('limit.import'), 0.85);
  if (process.env.ALONE) return;
  if (figures.of('ours.cid')[0] !== figures.of('helia.cid')[0]) throw new Error('Helia gives the file another CID');
  const files = `${SMALL_FILES} files of ${SMALL_BYTES / 1024} KiB`;
  table('Browser: the package in Chromium over OPFS, and Helia 7 over blockstore-idb', ['ours', 'Helia'], [
    ['import 256 MiB', 'MB/s', large('ours.import'), large('helia.import')],
    ['read back 256 MiB, verified', 'MB/s', large('ours.read'), large('helia.read')],
    ['  once verified', 'MB/s', large('ours.again'), large('helia.read')],
    [`${RANGES} ranges of 64 KiB, cold`, 'ranges/s', ranges('ours.cold'), ranges('helia.ranges')],
    ['  warm', 'ranges/s', ranges('ours.warm'), ranges('helia.ranges')],
    [`${files}, many at a time`, 'files/s', small('ours.together'), small('helia.together')],
    ['  one call each', 'files/s', small('ours.each'), small('helia.together')],
  ]);
  ratioBar('import', large('ours.import'), large('helia.import'), 4);
  ratioBar('read back', large('ours.read'), large('helia.read'), 2.2);
  ratioBar('read back, once verified', large('ours.again'), large('helia.read'), 10);
  ratioBar('ranges, cold', ranges('ours.cold'), ranges('helia.ranges'), 3);
  ratioBar('ranges, warm', ranges('ours.warm'), ranges('helia.ranges'), 100);
  ratioBar('small files', small('ours.together'), small('helia.together'), 15);
  limitBar("longest task of the page's thread", figures.of('ours.held'), MAX_HELD, 'ms');
}
