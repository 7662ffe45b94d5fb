// The npm package in headless Chromium against Helia: each in a fresh profile on disk, in turn.

import { join } from 'node:path';
import { inPage, install, serve } from './chromium.mjs';
import { Figures, RANGES, RANGE_BYTES, SMALL_BYTES, SMALL_FILES, ratioBar, table } from './common.mjs';

export async function browser(folder, repetitions) {
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
      console.log(`browser, repetition ${repetition} of ${repetitions}`);
      figures.add('limit', await withPage(({ call }) => call('limits')));
      figures.add('ours', await withPage((page) => engine(page, ['ours', 'relaxed'], ['together', 'each'])));
      figures.add('helia', await withPage((page) => engine(page, ['helia'], ['together'])));
      figures.add('strict', await withPage((page) => engine(page, ['ours', 'strict'], ['together', 'each'])));
    }
  } finally {
    server.close();
  }
  if (figures.of('ours.cid')[0] !== figures.of('helia.cid')[0]) throw new Error('Helia gives the file another CID');
  print(figures);
}

/** One engine's figures, from one page. */
async function engine({ call, memory }, name, small) {
  await call('open', ...name);
  const imported = await call('import');
  const importMemory = await memory();
  const read = await call('read');
  const figures = {
    import: imported.seconds,
    cid: imported.cid,
    importMemory,
    importHeap: imported.heap,
    read: read.seconds,
    readMemory: await memory(),
    readHeap: read.heap,
    ranges: (await call('ranges', RANGES, RANGE_BYTES)).seconds,
  };
  for (const how of small) figures[how] = (await call('small', how, SMALL_FILES, SMALL_BYTES)).seconds;
  return figures;
}

function print(figures) {
  const large = (name) => figures.megabytesPerSecond(name);
  const small = (name) => figures.perSecond(name, SMALL_FILES);
  const ranges = (name) => figures.perSecond(name, RANGES);
  const files = `${SMALL_FILES} files of ${SMALL_BYTES / 1024} KiB`;
  table('Browser: the package in Chromium over IndexedDB, and Helia 7 over blockstore-idb', ['ours', 'Helia'], [
    ['import 256 MiB, relaxed (as Helia)', 'MB/s', large('ours.import'), large('helia.import')],
    ['  strict', 'MB/s', large('strict.import'), large('helia.import')],
    ['read back 256 MiB (ours verifies)', 'MB/s', large('ours.read'), large('helia.read')],
    [`${RANGES} ranges of 64 KiB`, 'ranges/s', ranges('ours.ranges'), ranges('helia.ranges')],
    [`${files}, many at a time, relaxed`, 'files/s', small('ours.together'), small('helia.together')],
    ['  one call each, relaxed', 'files/s', small('ours.each'), small('helia.together')],
    ['  many at a time, strict', 'files/s', small('strict.together'), small('helia.together')],
    ['  one call each, strict', 'files/s', small('strict.each'), small('helia.together')],
    ['peak memory of the page, import', 'MB', figures.megabytes('ours.importMemory'), figures.megabytes('helia.importMemory')],
    ['  and read back', 'MB', figures.megabytes('ours.readMemory'), figures.megabytes('helia.readMemory')],
    ['wasm heap, import', 'MB', figures.megabytes('ours.importHeap')],
    ['  and read back', 'MB', figures.megabytes('ours.readHeap')],
  ]);
  table('The same against this browser: one worker, 1 MiB at a time', ['ours', 'limit'], [
    ['import / SHA-256 by WebCrypto', 'MB/s', large('ours.import'), large('limit.hash')],
    ['import / Blobs into IndexedDB, 8 a transaction', 'MB/s', large('ours.import'), large('limit.put')],
    ['read back / Blobs out of IndexedDB', 'MB/s', large('ours.read'), large('limit.get')],
  ]);
  ratioBar('import', large('ours.import'), large('helia.import'), 1.5);
  ratioBar('small files, many at a time', small('ours.together'), small('helia.together'), 5);
  ratioBar('small files, one call each', small('ours.each'), small('helia.together'), 5);
  ratioBar('read back', large('ours.read'), large('helia.read'), 1.3);
  ratioBar('ranges', ranges('ours.ranges'), ranges('helia.ranges'), 1.5);
}
