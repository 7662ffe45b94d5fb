// Headless Chromium on pages served from dist/, for the tests of the npm package.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html', '.json': 'application/json' };

// A browser that is looking for the network would only wait for it.
const FLAGS = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
];

/** Serves dist/npm at /npm/, and the given texts at their paths. */
export async function serve(texts = {}) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    try {
      const body = texts[path] ?? (await readFile(join(ROOT, 'dist', path)));
      response.setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Chromium with a profile on disk, which outlives it. */
export async function launch(profile, options = {}) {
  return chromium.launchPersistentContext(profile, {
    ...options,
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
}

export async function freshProfile() {
  const path = await mkdtemp(join(tmpdir(), 'ipfs-kit-page-'));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Where stores are that do not say so themselves. Some suites run once for each. */
export const TIER = process.env.TIER ?? 'opfs';

const PAGE = `<!doctype html><meta charset="utf-8"><title>test</title><input type="file" id="file">
<script type="module">
  import * as kit from '/npm/index.js';
  const tier = '${TIER === 'opfs' ? 'auto' : TIER}';
  const openStorage = (options) => kit.openStorage({ tier, ...options });
  window.kit = { ...kit, openStorage };
  window.rule = (size, from = 0) => Uint8Array.from({ length: size }, (_, i) => ((i + from) * 31 + 7) % 256);
  window.noise = (size, seed) => {
    let state = seed >>> 0 || 1;
    return Uint8Array.from({ length: size }, () => {
      state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
      return state >>> 11;
    });
  };
  window.sha = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].join();
  window.thrown = async (promise) => {
    try { await promise; } catch (error) {
      const { name, code, message, cid, path, reason, needed, limit, attempts } = error;
      const typed = error instanceof kit.StorageError;
      return { name, code, message, cid, path, reason, needed, limit, attempts, typed };
    }
  };
  window.ready = true;
</script>`;

/** A browser with the package in its page, and the means to reload it. */
export async function open(texts = {}) {
  const server = await serve({ '/index.html': PAGE, ...texts });
  const profile = await freshProfile();
  let browser = await launch(profile.path);
  const harness = {
    origin: server.origin,
    profile: profile.path,
    async page() {
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error('page error:', error.message));
      await page.goto(`${server.origin}/index.html`);
      await page.waitForFunction(() => window.ready);
      return page;
    },
    /** Sets how many bytes the browser lets the pages keep. Chromium remembers for a while how much room there was. */
    async quota(page, quotaSize) {
      const session = await browser.newCDPSession(page);
      // Without the slash Chromium accepts it and does nothing; when the session ends the quota is the old one again.
      await session.send('Storage.overrideQuotaForOrigin', { origin: `${server.origin}/`, quotaSize });
    },
    /** Runs the page's collector: Chromium keeps the file of a Blob that was read until it has found that. */
    async collect(page) {
      const session = await browser.newCDPSession(page);
      await session.send('HeapProfiler.collectGarbage');
      await session.detach();
    },
    get browser() {
      return browser;
    },
    /** Another browser on the same profile. */
    async restart() {
      await browser.close().catch(() => {});
      browser = await launch(profile.path);
    },
    async close() {
      await browser.close().catch(() => {});
      server.close();
      await profile.remove();
    },
  };
  return harness;
}
