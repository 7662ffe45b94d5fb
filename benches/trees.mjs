// A tree of 10,000 files of 4 KiB, and one directory of 20,000 small ones: stored, listed, looked into. The component in
// wasmtime against Helia in Node over `blockstore-fs`, and the package against Helia over `blockstore-idb` in Chromium.

import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inPage, install, serve } from './chromium.mjs';
import { Figures, ROOT, SMALL_BYTES, npmPackages, ratioBar, run, smallFile, table } from './common.mjs';
import { WIDE_ENTRIES, wideName } from './entries.mjs';
import { COMPONENT, buildHost } from './wasi.mjs';

const FILES = 10_000;
const FOLDERS = 100;
const LOOK_UPS = 1000;
/** No remotes, and the tier that a browser has by itself where it can. */
const OPFS = [[], { tier: 'opfs' }];

export async function trees(folder, repetitions) {
  const paths = await makeTree(folder);
  await inWasmtime(folder, repetitions);
  await rm(join(folder, 'tree'), { recursive: true });
  await inBrowser(folder, repetitions, paths);
}

/** A folder `tree` with ten times ten folders in it; lists of its files, and of the paths that are looked up. */
async function makeTree(folder) {
  const names = Array.from({ length: FILES }, (_, number) => {
    const of = number % FOLDERS;
    return `part-${Math.floor(of / 10)}/of-${of % 10}/file-${String(number).padStart(5, '0')}.bin`;
  });
  names.sort();
  for (const path of names) await mkdir(dirname(join(folder, 'tree', path)), { recursive: true });
  for (const [number, path] of names.entries()) {
    await writeFile(join(folder, 'tree', path), smallFile(number + 1, SMALL_BYTES));
  }
  const random = new DataView(smallFile(0, 8 * LOOK_UPS).buffer);
  const chosen = (at, count) => random.getUint32(4 * at, true) % count;
  const tree = Array.from({ length: LOOK_UPS }, (_, at) => names[chosen(at, FILES)]);
  const wide = Array.from({ length: LOOK_UPS }, (_, at) => wideName(chosen(LOOK_UPS + at, WIDE_ENTRIES)));
  await writeFile(join(folder, 'tree.files'), names.join('\n'));
  await writeFile(join(folder, 'tree.chosen'), tree.join('\n'));
  await writeFile(join(folder, 'wide.chosen'), wide.join('\n'));
  return { names, tree, wide };
}

async function inWasmtime(folder, repetitions) {
  const host = await buildHost();
  await npmPackages(join(ROOT, 'benches/browser'));
  await copyFile(COMPONENT, join(folder, 'component.wasm'));
  await run(host, ['compile', folder]);
  const figures = new Figures();
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    console.log(`trees under WASI, repetition ${repetition} of ${repetitions}`);
    figures.add('ours', JSON.parse(await run(host, ['trees', folder])));
    await rm(join(folder, 'stores'), { recursive: true });
    figures.add('helia', JSON.parse(await run(process.execPath, [join(ROOT, 'benches/browser/helia-node.mjs'), folder])));
  }
  sameCids(figures);
  const { rows, bars } = subjects(figures);
  table('WASI: the component in wasmtime 49, and Helia 7 in Node over blockstore-fs', ['ours', 'Helia'], [
    [`import of a folder, ${FILES} files of ${SMALL_BYTES / 1024} KiB, relaxed (as Helia)`, 'files/s', ...rows.import],
    ['  one call each', 'files/s', figures.perSecond('ours.importEach', FILES), rows.import[1]],
    ['  strict', 'files/s', figures.perSecond('ours.importStrict', FILES), rows.import[1]],
    [`import of ${WIDE_ENTRIES} entries, one call each, relaxed`, 'files/s', ...rows.importWide],
    ['  strict', 'files/s', figures.perSecond('ours.importWideStrict', WIDE_ENTRIES), rows.importWide[1]],
    ...rows.reading,
    ['wasm heap, import', 'MB', figures.megabytes('ours.heapImport')],
  ]);
  bars();
}

async function inBrowser(folder, repetitions, { names, tree, wide }) {
  const site = join(folder, 'trees-site');
  const chromium = await install(site, 'trees.js');
  const server = await serve(site, '<script type="module" src="trees.js"></script>');
  const figures = new Figures();
  const measure = (name, ...engine) =>
    inPage(chromium, folder, server.origin, async ({ call, memory }) => {
      figures.add(name, await call('open', ...engine));
      figures.add(name, await call('import', names, SMALL_BYTES));
      figures.add(name, { memory: await memory() });
      figures.add(name, await call('list', WIDE_ENTRIES));
      figures.add(name, await call('lookUp', tree, wide));
    });
  try {
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      console.log(`trees in a browser, repetition ${repetition} of ${repetitions}`);
      await measure('ours', 'ours', 'relaxed', ...OPFS);
      await measure('helia', 'helia');
      await measure('strict', 'ours', 'strict', ...OPFS);
    }
  } finally {
    server.close();
  }
  sameCids(figures);
  const { rows, bars } = subjects(figures);
  table('Browser: the package in Chromium over OPFS, and Helia 7 over blockstore-idb', ['ours', 'Helia'], [
    [`import of ${FILES} files of ${SMALL_BYTES / 1024} KiB, relaxed (as Helia)`, 'files/s', ...rows.import],
    ['  strict', 'files/s', figures.perSecond('strict.import', FILES), rows.import[1]],
    [`import of ${WIDE_ENTRIES} entries, relaxed`, 'files/s', ...rows.importWide],
    ['  strict', 'files/s', figures.perSecond('strict.importWide', WIDE_ENTRIES), rows.importWide[1]],
    ...rows.reading,
    ['peak memory of the page, import', 'MB', figures.megabytes('ours.memory'), figures.megabytes('helia.memory')],
  ]);
  bars();
}

function sameCids(figures) {
  for (const name of ['tree', 'wide']) {
    const [ours, theirs] = ['ours', 'helia'].map((engine) => figures.of(`${engine}.${name}`)[0]);
    if (ours !== theirs) throw new Error(`Helia gives the ${name} another CID: ${theirs}, and not ${ours}`);
  }
}

/** What both homes have in common. */
function subjects(figures) {
  const both = (name, count) => ['ours', 'helia'].map((engine) => figures.perSecond(`${engine}.${name}`, count));
  const [rows, look] = [{ import: both('import', FILES), importWide: both('importWide', WIDE_ENTRIES) }, {}];
  for (const name of ['statTree', 'getTree', 'statWide', 'getWide']) look[name] = both(name, LOOK_UPS);
  const list = both('list', WIDE_ENTRIES);
  rows.reading = [
    [`listing of ${WIDE_ENTRIES} entries (ours with kind and size)`, 'entries/s', ...list],
    ['look-up of a random path, three names deep: stat', 'paths/s', ...look.statTree],
    ['  its content', 'paths/s', ...look.getTree],
    [`look-up in ${WIDE_ENTRIES} entries: stat`, 'paths/s', ...look.statWide],
    ['  its content', 'paths/s', ...look.getWide],
  ];
  const bars = () => {
    ratioBar('import of a tree', ...rows.import, 6);
    ratioBar('import of a wide directory', ...rows.importWide, 6);
    ratioBar('listing', ...list, 1);
    ratioBar('look-ups in a tree, stat', ...look.statTree, 10);
    ratioBar('  content', ...look.getTree, 10);
    ratioBar('look-ups in a wide directory, stat', ...look.statWide, 10);
    ratioBar('  content', ...look.getWide, 10);
  };
  return { rows, bars };
}
