// A newer version of the page: it is told of, and used when that is asked for, all of it at once.

import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../page/harness.mjs';
import { start } from './harness.mjs';

test('a newer version waits until it is asked for', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ipfs-kit-www-'));
  await cp(join(ROOT, 'dist/www'), root, { recursive: true });
  const app = await start({}, root);
  const page = await app.page();
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  await page.reload();

  const change = async (file, from, to) => writeFile(join(root, file), (await readFile(join(root, file), 'utf8')).replace(from, to));
  await change('index.html', 'Open a CID, ipfs://', 'Newer: ipfs://');
  await change('library.js', 'Keep files under', 'Newer: keep files under');
  await change('shell.js', /VERSION = '\w+'/, "VERSION = 'newer'");
  await change('sw.js', /Version \w+/, 'Version newer');
  await page.reload();
  const use = page.getByRole('button', { name: 'Use it' });
  await use.waitFor();
  await page.reload();
  await use.waitFor();
  const shown = async () => [await page.locator('#address input').getAttribute('placeholder'), await page.locator('.welcome h1').textContent()];
  for (const text of await shown()) assert.doesNotMatch(text, /Newer/);

  await use.click();
  await page.locator('.welcome h1', { hasText: 'Newer' }).waitFor();
  for (const text of await shown()) assert.match(text, /Newer/);
  assert.deepEqual((await page.evaluate(() => caches.keys())).filter((name) => name.startsWith('shell')), ['shell-newer']);
  await app.close();
  await rm(root, { recursive: true });
});
