// The web app in headless Chromium, served as a static host would, for its tests.

import { freshProfile, launch } from '../page/harness.mjs';
import { serve } from '../../xtask/src/serve.mjs';

/** A browser with a fresh profile, and a server of dist/www or another folder. `page` opens the app, or a path of it. */
export async function start(options = {}, root = undefined) {
  const server = await serve({ root });
  const profile = await freshProfile();
  const browser = await launch(profile.path, options);
  const app = {
    server,
    browser,
    origin: server.origin,
    async page(path = '/') {
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error('page error:', error.message));
      page.on('console', (message) => message.type() === 'error' && console.error('console:', message.text()));
      await page.goto(server.origin + path);
      return page;
    },
    /** The app with nothing stored, nobody to ask, and no other tab. */
    async fresh() {
      for (const page of browser.pages()) await page.close();
      const page = await browser.newPage();
      await page.goto(`${server.origin}/icon.svg`);
      await page.evaluate(async () => {
        for (const { name } of await indexedDB.databases()) {
          await new Promise((resolve) => (indexedDB.deleteDatabase(name).onsuccess = resolve));
        }
        const folders = await navigator.storage.getDirectory();
        for await (const name of folders.keys()) {
          // A worker that ends gives its files back in its own time.
          while (!(await folders.removeEntry(name, { recursive: true }).then(() => true, () => false))) await new Promise((resolve) => setTimeout(resolve, 50));
        }
        await caches.delete('settings');
      });
      await page.close();
      const opened = await app.page();
      await opened.locator('.welcome').waitFor(); // now it takes what is dropped
      return opened;
    },
    async close() {
      await browser.close();
      await server.close().catch(() => {});
      await profile.remove();
    },
  };
  return app;
}

/** Bytes that repeat nothing. */
export function noise(size, seed = 1) {
  let state = seed;
  return Buffer.from(
    Uint8Array.from({ length: size }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 11;
    }),
  );
}

/** Drags files or folders of the disk over a page and drops them. */
export async function drop(page, ...files) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) await session.send('Input.dispatchDragEvent', { type, x: 200, y: 300, data });
  await session.detach();
}
