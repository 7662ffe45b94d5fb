// The npm package in headless Chromium against Helia: each in a fresh profile on disk, in turn.

import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { Figures, MIB, RANGES, RANGE_BYTES, ROOT, SMALL_BYTES, SMALL_FILES, ratioBar, run, table } from './common.mjs';

const HERE = join(ROOT, 'benches/browser');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
// A browser that is looking for the network would only wait for it.
const FLAGS = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
];

export async function browser(folder, repetitions) {
  const site = join(folder, 'site');
  await cp(join(ROOT, 'dist/npm'), join(site, 'npm'), { recursive: true });
  const chromium = await install(site);
  const server = await serve(site);
  const withPage = (use) => inPage(chromium, folder, server.origin, use);
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

/** Playwright; the page's scripts go to `site`. */
async function install(site) {
  const modules = join(HERE, 'node_modules');
  if (!existsSync(modules)) {
    const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await run('npm', ['ci', ...quietly], { cwd: HERE });
  }
  const esbuild = await import(join(modules, 'esbuild/lib/main.js'));
  await esbuild.build({
    entryPoints: [join(HERE, 'page.js')],
    outdir: site,
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    external: ['/npm/*'],
    logLevel: 'error',
  });
  return (await import(join(modules, 'playwright-core/index.mjs'))).chromium;
}

async function serve(site) {
  const page = '<!doctype html><meta charset="utf-8"><title>bench</title><input type="file"><script type="module" src="page.js"></script>';
  const server = createServer(async ({ url }, response) => {
    try {
      const body = url === '/' ? page : await readFile(join(site, url));
      response.setHeader('content-type', TYPES[extname(url)] ?? TYPES['.html']);
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** A page in a browser of its own, with the large file picked. */
async function inPage(chromium, folder, origin, use) {
  const profile = await mkdtemp(join(folder, 'profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
  try {
    const [page] = context.pages();
    page.setDefaultTimeout(0);
    await page.goto(origin);
    await page.locator('input').setInputFiles(join(folder, 'big'));
    const session = await context.browser().newBrowserCDPSession();
    return await use({
      call: (step, ...args) => page.evaluate(([step, args]) => window.bench[step](...args), [step, args]),
      memory: () => peakMemory(session),
    });
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The most memory that the page's process has had. */
async function peakMemory(session) {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer');
  const peaks = renderers.map(async ({ id }) => {
    const status = await readFile(`/proc/${id}/status`, 'utf8');
    return Number(/VmHWM:\s*(\d+)/.exec(status)[1]) * 1024;
  });
  return Math.max(...(await Promise.all(peaks)));
}
