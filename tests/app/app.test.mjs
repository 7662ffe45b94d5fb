// The web app, by real clicks and keys: storing, browsing, pinning, forgetting, archives, several tabs, no network.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { drop, noise, start } from './harness.mjs';
import { film } from './video.mjs';

const HELLO = { name: 'hello.txt', mimeType: 'text/plain', buffer: Buffer.from('hello world') };
const HELLO_CID = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';

let app;
let page;

before(async () => {
  app = await start();
  await app.browser.grantPermissions(['clipboard-read', 'clipboard-write']);
});
after(() => app.close());
beforeEach(async () => {
  page = await app.fresh();
});

const row = (name) => page.locator('#list li', { hasText: name });
const done = (text) => page.locator('.task.done', { hasText: text }).waitFor();
const title = () => page.locator('.title h1').textContent();

test('an empty store says what to do; what is picked is stored, shown, and still there after a reload', async () => {
  assert.match(await page.locator('.welcome').textContent(), /Drop files or a folder/);
  await page.setInputFiles('#pick-files', HELLO);
  await done('Stored hello.txt');
  assert.equal(await page.locator('.task code').getAttribute('title'), HELLO_CID);
  await page.getByRole('button', { name: `Copy the CID ${HELLO_CID}` }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), HELLO_CID);
  assert.match(await row('hello.txt').textContent(), /File · 11 B/);
  await page.waitForFunction(() => document.getElementById('held')?.textContent === '11 B in 1 block');
  await page.reload();
  await row('hello.txt').getByRole('link').click();
  await page.locator('.preview pre').waitFor();
  assert.equal(await page.locator('.preview pre').textContent(), 'hello world');
  assert.equal(await page.locator('.title code').textContent(), HELLO_CID);
});

test('many files go in one after the other, with one card; one that is cancelled leaves nothing', async () => {
  const files = Array.from({ length: 8 }, (_, at) => ({ name: `file ${at}`, mimeType: '', buffer: noise(1000, at + 1) }));
  await page.setInputFiles('#pick-files', files);
  await done('Stored 8 files');
  assert.equal(await page.locator('#list li').count(), 8);
  await page.getByRole('searchbox').fill('file 3');
  assert.equal(await page.locator('#list li').count(), 1);
  // A file whose bytes do not come: the click is sure to find it under way.
  await page.evaluate(() => {
    const bytes = { next: () => new Promise(() => {}), return: async () => ({ done: true }) };
    const stalled = { name: 'stalled.bin', size: 20_000_000, type: '', [Symbol.asyncIterator]: () => bytes };
    const input = document.getElementById('pick-files');
    Object.defineProperty(input, 'files', { value: [stalled], configurable: true });
    input.dispatchEvent(new Event('change'));
  });
  await page.getByRole('button', { name: 'Cancel: Storing stalled.bin' }).click();
  await page.waitForFunction(() => !document.querySelector('#tasks').textContent.includes('stalled'));
  await page.getByRole('searchbox').fill('');
  assert.equal(await page.locator('#list li').count(), 8);
});

test('a dropped folder is a tree that can be looked through', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ipfs-kit-app-'));
  await mkdir(join(folder, 'site/docs'), { recursive: true });
  await writeFile(join(folder, 'site/index.html'), '<h1>hello</h1>');
  await writeFile(join(folder, 'site/docs/100% sure?.txt'), 'quite');
  await drop(page, join(folder, 'site'));
  await done('Stored site');
  await row('site').getByRole('link').click();
  assert.equal(await title(), 'site');
  const entry = (name) => page.locator('.entries li', { hasText: name });
  await entry('docs').getByRole('link').click();
  await entry('100% sure?.txt').getByRole('link').click();
  await page.locator('.preview pre').waitFor();
  assert.equal(await page.locator('.preview pre').textContent(), 'quite');
  await page.getByRole('link', { name: 'docs', exact: true }).click();
  await entry('100%').waitFor();
  await page.goBack();
  await page.locator('.preview pre').waitFor();
  await rm(folder, { recursive: true });
});

test('a dropped file is stored as a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ipfs-kit-app-'));
  await writeFile(join(folder, 'hello.txt'), 'hello world');
  await drop(page, join(folder, 'hello.txt'));
  await done('Stored hello.txt');
  assert.equal(await page.locator('.task code').getAttribute('title'), HELLO_CID);
  await rm(folder, { recursive: true });
});

test('pins are set and taken away, and the picture follows', async () => {
  await page.setInputFiles('#pick-files', HELLO);
  await done('Stored hello.txt');
  const pin = row('hello.txt').getByRole('button', { name: 'Pin hello.txt' });
  const pinned = page.locator('.legend li').first();
  assert.equal(await pin.getAttribute('aria-pressed'), 'false');
  await pin.click();
  await done('Pinned hello.txt');
  assert.equal(await pin.getAttribute('aria-pressed'), 'true');
  await pinned.filter({ hasText: '11 B' }).waitFor();
  await row('hello.txt').getByRole('link').click();
  assert.match(await page.locator('.chip').textContent(), /pinned/);
  await page.getByRole('button', { name: 'Pin hello.txt' }).click();
  await page.locator('.chip.stored').waitFor();
  await pinned.filter({ hasText: '0 B' }).waitFor();
});

test('what is to be forgotten is asked about, and a pin told of', async () => {
  await page.setInputFiles('#pick-files', HELLO);
  await done('Stored hello.txt');
  await row('hello.txt').getByRole('button').click();
  await done('Pinned hello.txt');
  await row('hello.txt').getByRole('link').click();
  const forget = page.getByRole('button', { name: 'Forget', exact: true });
  await forget.click();
  assert.match(await page.locator('dialog').textContent(), /Forget hello.txt\?It is pinned/);
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.equal(await title(), 'hello.txt');
  await forget.click();
  await page.getByRole('button', { name: 'Forget it' }).click();
  await page.locator('.welcome', { hasText: 'Keep files' }).waitFor();
  await page.waitForFunction(() => document.getElementById('held')?.textContent === '0 B in 0 blocks');
});

test('an archive goes out and comes in again', async () => {
  const bytes = noise(3_000_000);
  await page.setInputFiles('#pick-files', { name: 'data.bin', mimeType: '', buffer: bytes });
  await done('Stored data.bin');
  const cid = await page.locator('.task code').getAttribute('title');
  await row('data.bin').getByRole('link').click();
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export as CAR' }).click()]);
  assert.equal(download.suggestedFilename(), 'data.bin.car');
  const archive = await readFile(await download.path());
  assert.ok(archive.length > 3_000_000);
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save' }).click()]);
  assert.equal(saved.suggestedFilename(), 'data.bin');
  assert.deepEqual(await readFile(await saved.path()), bytes);

  page = await app.fresh();
  await page.setInputFiles('#pick-files', { name: 'some.car', mimeType: '', buffer: archive });
  await done('Imported some.car');
  assert.equal(await page.locator('#list code').first().getAttribute('title'), cid);
  const damaged = Buffer.from(archive);
  damaged[2_000_000] ^= 1;
  await page.setInputFiles('#pick-files', { name: 'damaged.car', mimeType: '', buffer: damaged });
  await page.locator('.task.failed', { hasText: 'is not what the address says' }).waitFor();
});

test('without the server it still opens, stores, and shows what is stored', async () => {
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  await page.evaluate(() => import('/npm/index.js'));
  await app.server.close();
  try {
    await page.reload();
    await page.setInputFiles('#pick-files', [HELLO, { name: 'page.html', mimeType: '', buffer: Buffer.from('<h1>off</h1>') }]);
    await done('Stored 2 files');
    const tab = await app.browser.newPage();
    await tab.goto(`${app.origin}/ipfs/${HELLO_CID}`);
    assert.equal(await tab.locator('body').textContent(), 'hello world');
    await tab.goto(app.origin);
    await tab.locator('#list li', { hasText: 'page.html' }).getByRole('link').click();
    await tab.frameLocator('.preview iframe').locator('h1', { hasText: 'off' }).waitFor();
    await tab.close();
  } finally {
    await app.server.open();
  }
});

test('a link to something stored works as the first thing that is opened', async () => {
  await page.setInputFiles('#pick-files', HELLO);
  await done('Stored hello.txt');
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).unregister());
  await page.close();
  page = await app.browser.newPage();
  await page.goto(`${app.origin}/ipfs/${HELLO_CID}`);
  await page.locator('body', { hasText: 'hello world' }).waitFor();
});

test('two tabs see each other’s changes', async () => {
  const other = await app.page();
  await other.locator('.welcome').waitFor();
  await page.setInputFiles('#pick-files', HELLO);
  await other.locator('#list li', { hasText: 'hello.txt' }).waitFor();
  await other.getByRole('button', { name: 'Pin hello.txt' }).click();
  await page.locator('#list [aria-pressed=true]').waitFor();
  await other.getByRole('switch', { name: 'Local only' }).click({ force: true });
  await page.waitForFunction(() => document.getElementById('local-only').checked);
  await other.close();
});

test('a video plays from the store, and one can seek in it', async () => {
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  const buffer = Buffer.from(await page.evaluate(film, 20), 'base64');
  assert.ok(buffer.length > 3_000_000, `${buffer.length} bytes`);
  await page.setInputFiles('#pick-files', { name: 'film.webm', mimeType: 'video/webm', buffer });
  await done('Stored film.webm');
  await row('film.webm').getByRole('link').click();
  const video = page.locator('.preview video');
  await video.evaluate((video) => video.readyState >= 1 || new Promise((resolve) => video.addEventListener('loadedmetadata', resolve)));
  const seen = await video.evaluate(async (video) => {
    video.currentTime = 17.2;
    await new Promise((resolve) => video.addEventListener('seeked', resolve));
    const ranges = performance.getEntriesByType('resource').filter(({ name }) => name.includes('/ipfs/')).length;
    return { duration: video.duration, at: video.currentTime, end: video.seekable.end(0), width: video.videoWidth, ranges };
  });
  assert.deepEqual([seen.duration, seen.at, seen.end, seen.width], [20, 17.2, 20, 640]);
  const { status, range } = await page.evaluate(async (src) => {
    const response = await fetch(src, { headers: { range: 'bytes=1000000-1000099' } });
    return { status: response.status, range: response.headers.get('content-range') };
  }, await video.getAttribute('src'));
  assert.deepEqual([status, range], [206, `bytes 1000000-1000099/${buffer.length}`]);
});

test('space is freed of what nothing needs, after a question, and all is checked', async () => {
  await page.setInputFiles('#pick-files', HELLO);
  await done('Stored hello.txt');
  await page.getByRole('button', { name: 'Free up space' }).click();
  await done('There is nothing to free');
  await page.evaluate(async () => {
    const storage = await (await import('/npm/index.js')).getStorage();
    const cid = 'bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy';
    const other = await storage.store(new Uint8Array(100_000), { filename: 'gone' });
    const bytes = await storage.getBlock(other.cid);
    await storage.delete(other.cid);
    await storage.putBlocks([{ cid: other.cid, bytes }]);
    return cid;
  });
  await page.getByRole('button', { name: 'Free up space' }).click();
  assert.match(await page.locator('dialog').textContent(), /1 block \(100 kB\)/);
  await page.getByRole('button', { name: 'Free 100 kB' }).click();
  await done('100 kB in 1 block freed');
  await page.getByRole('button', { name: 'Check everything' }).click();
  await done('1 block (11 B) hashed: all as they should be');
});
