// A page in headless Chromium with a fresh profile on disk, for the benchmarks that need one.

import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { ROOT, npmPackages } from './common.mjs';

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

/** Playwright; the package and the page's scripts, from `script` on, go to `site`. */
export async function install(site, script) {
  await npmPackages(HERE);
  await cp(join(ROOT, 'dist/npm'), join(site, 'npm'), { recursive: true });
  const modules = join(HERE, 'node_modules');
  const esbuild = await import(join(modules, 'esbuild/lib/main.js'));
  await esbuild.build({
    entryPoints: [join(HERE, script)],
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

/** Serves `site`, and one page with this in it. */
export async function serve(site, content) {
  const page = `<!doctype html><meta charset="utf-8"><title>bench</title>${content}`;
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

/** A page in a browser of its own. */
export async function inPage(chromium, folder, origin, use) {
  const profile = await mkdtemp(join(folder, 'profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
  try {
    const [page] = context.pages();
    page.setDefaultTimeout(0);
    await page.goto(origin);
    const session = await context.browser().newBrowserCDPSession();
    return await use({
      page,
      call: (step, ...args) => page.evaluate(([step, args]) => window.bench[step](...args), [step, args]),
      memory: () => peakMemory(session),
      longestTask: (use) => longestTask(context.browser(), page, use),
    });
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/**
 * The longest for which one task of the page's thread computed, in milliseconds, while something was done: of its own time, so
 * that a busy machine does not count.
 */
async function longestTask(browser, page, use) {
  await browser.startTracing(page, { categories: ['toplevel'] });
  await use();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const thread = ({ pid, tid }) => `${pid} ${tid}`;
  const pages = traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(thread);
  const tasks = traceEvents.filter((event) => event.tdur !== undefined && pages.includes(thread(event)));
  return tasks.reduce((longest, { tdur }) => Math.max(longest, tdur / 1000), 0);
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
