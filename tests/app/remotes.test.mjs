// Fetching through the web app: who is asked, what came from whom, and what is said when it fails.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { gateway } from '../page/gateway.mjs';
import { start } from './harness.mjs';

let app;
let page;
let far;

before(async () => (app = await start()));
after(() => app.close());
beforeEach(async () => {
  far = await gateway('dir3-v1.car', 'file1048577-chunk1024-v1.car');
  page = await app.fresh();
});
afterEach(() => far.close());

const card = () => page.locator(`[data-remote="${far.url}"]`);

async function open(address) {
  await page.getByRole('textbox', { name: 'Open a CID' }).fill(address);
  await page.getByRole('button', { name: 'Open', exact: true }).click();
}

async function ask(url) {
  await page.getByRole('textbox', { name: 'Address of a gateway' }).fill(url);
  await page.getByRole('button', { name: 'Add this gateway' }).click();
  await page.locator(`[data-remote="${url}"]`).waitFor();
}

test('what is not here and nobody has is told, with what to do; then it is fetched, and its sources shown', async () => {
  const [, cid] = far.roots;
  await open(`ipfs://${cid}`);
  await page.locator('main', { hasText: 'Nobody is set up to be asked' }).waitFor();
  await page.getByRole('main').getByRole('button', { name: 'Ask your own node' }).waitFor();
  await ask(far.url);
  assert.deepEqual(far.state.requests.filter((url) => url.includes(cid)), [], 'asked without being told to');
  await page.getByRole('button', { name: 'Fetch it' }).click();
  const sources = page.locator('.sources li');
  await sources.filter({ hasText: '5 blocks' }).waitFor();
  assert.match(await sources.textContent(), new RegExp(far.url));
  assert.equal(await page.locator('.squares i').count(), 5);
  await page.locator('.task.done', { hasText: 'Fetched' }).waitFor();
  await page.locator('.chip.stored').waitFor();
  await card().filter({ hasText: 'received' }).waitFor({ timeout: 15_000 });
  assert.match(await card().textContent(), /available · gateway.*the last call worked/);
  far.close();
  await page.reload();
  await page.locator('.chip.stored').waitFor();
});

test('a folder is listed at once, and all of it comes when it is pinned', async () => {
  const [root] = far.roots;
  await ask(far.url);
  await open(`https://gateway.example/ipfs/${root}/`);
  await page.locator('.entries li').first().waitFor();
  assert.deepEqual(await page.locator('.entries a').allTextContents(), ['a.txt', 'b.bin', 'c.dat']);
  await page.getByRole('button', { name: /^Pin / }).click();
  await page.locator('.chip.pinned').waitFor();
  await page.getByRole('link', { name: 'a.txt' }).click();
  await page.locator('.preview pre').waitFor();
});

test('one that lies is refused, and told of', async () => {
  far.state.fault = 'lie';
  await ask(far.url);
  await open(far.roots[1]);
  const problem = page.getByRole('main').getByRole('alert');
  await problem.waitFor();
  assert.match(await problem.textContent(), /Nobody who was asked gave it/);
  assert.match(await problem.textContent(), new RegExp(far.url));
  await page.getByRole('button', { name: 'Try again' }).waitFor();
  await card().filter({ hasText: 'not asked any more; it sent' }).waitFor({ timeout: 15_000 });
  assert.match(await card().textContent(), /disabled/);
  await page.goto(`${app.origin}/`);
  await page.locator('.welcome').waitFor();
});

test('what nobody has is told with who was asked', async () => {
  await ask(far.url);
  await open('bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy');
  const problem = page.getByRole('main').getByRole('alert');
  await problem.filter({ hasText: 'Nobody who was asked gave it' }).waitFor();
  assert.match(await problem.textContent(), new RegExp(far.url));
  await open('no address at all');
  await page.locator('.task.failed', { hasText: 'This is no CID' }).waitFor();
});

test('local only: no request leaves, and it is remembered', async () => {
  await ask(far.url);
  await page.getByRole('switch', { name: 'Local only' }).click({ force: true });
  await card().filter({ hasText: 'disabled' }).waitFor();
  assert.match(await card().textContent(), /not asked: /);
  const left = [];
  app.browser.on('request', (request) => request.url().startsWith(app.origin) || request.url().startsWith('blob:') || left.push(request.url()));
  const before = far.state.requests.length;
  await page.reload();
  await page.waitForFunction(() => document.getElementById('local-only').checked);
  await card().filter({ hasText: 'disabled' }).waitFor();
  await open(far.roots[0]);
  await page.locator('main', { hasText: '“Local only” is on' }).waitFor();
  const status = await page.evaluate(async (cid) => (await fetch(`/ipfs/${cid}/`)).status, far.roots[0]);
  assert.equal(status, 504);
  await page.getByRole('button', { name: 'Check everything' }).click();
  await page.locator('.task.done', { hasText: 'Checked everything' }).waitFor();
  assert.deepEqual([left, far.state.requests.slice(before)], [[], []]);
  await page.getByRole('button', { name: 'Switch “Local only” off' }).click();
  await page.getByRole('button', { name: 'Fetch it' }).click();
  await page.locator('.entries li').first().waitFor();
});

test('switching to local only ends what is being fetched, and nothing that is being stored', async () => {
  await ask(far.url);
  far.state.fault = 'silence';
  await open(far.roots[1]);
  await page.getByRole('button', { name: /^Cancel: Fetching/ }).waitFor();
  // Where Files are read, all but the first piece of one waits until it is let go.
  const workers = page.workers();
  for (const worker of workers) {
    await worker.evaluate(() => {
      const { slice } = Blob.prototype;
      const gate = new Promise((resolve) => (self.go = resolve));
      Blob.prototype.slice = function (from, to) {
        const piece = slice.call(this, from, to);
        if (from > 0) piece.arrayBuffer = () => gate.then(() => new Response(piece).arrayBuffer());
        return piece;
      };
    });
  }
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(20_000_000)], 'slow.bin'));
    dispatchEvent(new DragEvent('drop', { dataTransfer: transfer }));
  });
  await page.getByRole('button', { name: 'Cancel: Storing slow.bin' }).waitFor();
  await page.locator('.figures', { hasText: '8.4 MB of 20 MB' }).waitFor();
  await page.getByRole('switch', { name: 'Local only' }).click({ force: true });
  await page.locator('main', { hasText: '“Local only” is on' }).waitFor();
  assert.equal(await page.getByRole('button', { name: /^Cancel: Fetching/ }).count(), 0);
  assert.equal(await page.locator('.figures', { hasText: '8.4 MB of 20 MB' }).count(), 1, 'it waits');
  for (const worker of workers) await worker.evaluate(() => self.go());
  await page.locator('.task.done', { hasText: 'Stored slow.bin' }).waitFor();
});

test('what is typed is not lost when the picture is drawn anew', async () => {
  const address = page.getByRole('textbox', { name: 'Address of a gateway' });
  await address.pressSequentially('http://127.0.0.1');
  await page.keyboard.press('ArrowLeft');
  await page.evaluate(async () => {
    const { changed, store } = await import('/store.js');
    await (await store()).store('a');
    changed();
  });
  await page.waitForFunction(() => document.getElementById('held').textContent === '1 B in 1 block');
  await page.keyboard.type('9');
  assert.equal(await address.inputValue(), 'http://127.0.0.91');
});

test('a remote is taken away again', async () => {
  await ask(far.url);
  await page.getByRole('button', { name: `Do not ask ${far.url} any more` }).click();
  await card().waitFor({ state: 'detached' });
  await open(far.roots[0]);
  await page.locator('main', { hasText: 'Nobody is set up to be asked' }).waitFor();
});
