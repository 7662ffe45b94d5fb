// How the page looks and is used: contrast in both colour schemes, small and large windows, the keyboard alone.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gateway } from '../page/gateway.mjs';
import { noise, start } from './harness.mjs';

let app;
let page;
let far;
const shots = process.env.SCREENSHOTS;

before(async () => {
  if (shots) mkdirSync(shots, { recursive: true });
  app = await start();
  far = await gateway('dir3-v1.car', 'file1048577-chunk1024-v1.car');
  page = await app.page();
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 90"><rect width="160" height="90" fill="#e26d5c"/></svg>`;
  await page.setInputFiles('#pick-files', [
    { name: 'picture.svg', mimeType: '', buffer: Buffer.from(picture) },
    { name: 'a name that is long enough to need more than one line on a small screen, and no.spaces_in-its-last-part-at-all-really.txt', mimeType: '', buffer: Buffer.from('text') },
    { name: 'data.bin', mimeType: '', buffer: noise(2_000_000) },
  ]);
  await page.locator('.task.done').waitFor();
  await page.evaluate(async (url) => {
    const { add } = await import('/remotes.js');
    await add(url);
    await add('http://127.0.0.1:9'); // nobody there
  }, far.url);
  await page.locator('[data-remote]').nth(1).waitFor();
});
after(async () => {
  far.close();
  await app.close();
});

/** The views, by what brings them up. */
const VIEWS = {
  list: async () => page.locator('#list li').first().waitFor(),
  picture: async () => {
    await page.getByRole('link', { name: 'picture.svg' }).click();
    await page.locator('.preview img').waitFor();
  },
  absent: async () => {
    await page.evaluate((cid) => (location.hash = `#/ipfs/${cid}`), far.roots[1]);
    await page.locator('main', { hasText: 'This is not in this browser' }).waitFor();
  },
  fetched: async () => {
    await page.getByRole('textbox', { name: 'Open a CID' }).fill(far.roots[0]);
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.locator('.entries li').first().waitFor();
  },
  problem: async () => {
    await page.getByRole('textbox', { name: 'Open a CID' }).fill('nonsense!');
    await page.getByRole('button', { name: 'Open', exact: true }).click();
    await page.locator('.task.failed').waitFor();
  },
  question: async () => {
    await page.getByRole('link', { name: 'picture.svg' }).click();
    await page.getByRole('button', { name: 'Forget', exact: true }).click();
    await page.locator('dialog').waitFor();
  },
};

for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[1280, 860], [360, 740]]) {
    test(`${colorScheme}, ${width} wide: text is readable, and nothing is cut off`, async () => {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const [name, bring] of Object.entries(VIEWS)) {
        await page.goto(`${app.origin}/`);
        await page.locator('#tiers h3').first().waitFor();
        await bring();
        const { faint, wide, checked } = await page.evaluate(faults);
        assert.ok(checked > 20, `${name}: ${checked} texts were looked at`);
        assert.deepEqual(faint, [], `${name}: contrast`);
        assert.deepEqual(wide, [], `${name}: wider than the window`);
        if (shots) await page.screenshot({ path: join(shots, `${colorScheme}-${width}-${name}.png`) });
      }
    });
  }
}

const LIGHT = 'rgb(250, 248, 244)';
const DARK = 'rgb(20, 23, 27)';

test('the theme is chosen, and remembered', async () => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.goto(`${app.origin}/`);
  const paper = (colour) => page.waitForFunction((colour) => getComputedStyle(document.body).backgroundColor === colour, colour);
  await paper(DARK);
  await page.getByRole('button', { name: /^Colours: as the system/ }).click();
  await page.getByRole('button', { name: /^Colours: light/ }).waitFor();
  await paper(LIGHT);
  await page.reload();
  await page.getByRole('button', { name: /^Colours: light/ }).click();
  await page.getByRole('button', { name: /^Colours: dark/ }).click();
  await page.getByRole('button', { name: /^Colours: as the system/ }).waitFor();
  await paper(DARK);
});

test('all of it can be done by keys, and each control has a name', async () => {
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.goto(`${app.origin}/`);
  await page.locator('#list li').first().waitFor();
  await page.locator('#tiers h3').first().waitFor();
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim());
  const reach = async (name) => {
    for (let presses = 0; presses < 40; presses += 1) {
      if ((await focused()).startsWith(name)) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`${name} is not reached by Tab`);
  };
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'To the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.goto(`${app.origin}/`);
  await page.locator('#list li').first().waitFor();
  await reach('Pin data.bin');
  await page.keyboard.press('Space');
  await page.locator('#list [aria-pressed=true]').waitFor();
  assert.equal(await focused(), 'Pin data.bin', 'the focus stays where it was');
  await page.keyboard.press('Space');
  await page.locator('#list [aria-pressed=true]').waitFor({ state: 'detached' });
  await page.keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'data.bin');
  await page.keyboard.press('Enter');
  await page.locator('.title').waitFor();
  await reach('Forget');
  await page.keyboard.press('Enter');
  await page.locator('dialog').waitFor();
  assert.equal(await focused(), 'Cancel');
  await page.keyboard.press('Escape');
  assert.equal(await focused(), 'Forget');
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, a, input:not([type=file]), [role=img], video, audio, iframe, progress')]
      .filter((element) => !(element.getAttribute('aria-label') || element.textContent.trim() || element.title || element.labels?.length || element.querySelector('img[alt]')))
      .map((element) => element.outerHTML.slice(0, 80)),
  );
  assert.deepEqual(nameless, []);
});

/** To be run in the page: texts with a contrast below what WCAG asks for (AA), and elements that stick out. */
async function faults() {
  // What glows for a moment is looked at when it does not.
  for (let moving; (moving = document.getAnimations()).length > 0; ) await Promise.allSettled(moving.map((one) => one.finished));
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const paint = (colours) => {
    canvas.fillStyle = '#fff';
    canvas.fillRect(0, 0, 1, 1);
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (rgb) => {
    const [r, g, b] = [...rgb].slice(0, 3).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  let checked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (text === '' || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.unseen, .skip, noscript')) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const ground = luminance(paint(grounds));
    const ink = luminance(paint([...grounds, getComputedStyle(element).color]));
    const contrast = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
    checked += 1;
    const { fontSize, fontWeight } = getComputedStyle(element);
    const large = parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  const wide = [...document.querySelectorAll('body *')]
    .filter((element) => element.checkVisibility() && !element.closest('.unseen, .skip, pre, svg') && element.getBoundingClientRect().right > innerWidth - 8 && element.clientWidth < innerWidth - 8)
    .map((element) => element.outerHTML.slice(0, 80));
  return { faint, wide, checked };
}
