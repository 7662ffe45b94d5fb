// The service worker's gateway: what it answers to requests, and what stored pages may do.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { gateway } from '../page/gateway.mjs';
import { start } from './harness.mjs';

const SITE = [
  { path: 'index.html', content: '<!doctype html><link rel=stylesheet href=css/site.css><img src="a%20picture.svg"><a href="docs/">docs</a>' },
  { path: 'css/site.css', content: 'body { background: rgb(1, 2, 3) }' },
  { path: 'a picture.svg', content: '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>' },
  { path: 'docs/one.txt', content: 'first' },
  { path: 'docs/<b>&"\'.md', content: '# second' },
  { path: 'docs/deeper/page', content: '<!DOCTYPE html><title>sniffed</title>' },
  { path: 'latest', target: 'docs/one.txt' },
  { path: 'out', target: '../../etc/passwd' },
];

let app;
let page;
let site;
let blob;

before(async () => {
  app = await start();
  page = await app.page();
  await page.evaluate(() => navigator.serviceWorker.register('/sw.js', { type: 'module' }));
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  [site, blob] = await page.evaluate(async (entries) => {
    const { getStorage } = await import('/npm/index.js');
    const storage = await getStorage();
    const bytes = Uint8Array.from({ length: 3_000_000 }, (_, at) => (at * 31 + 7) % 251);
    const site = await storage.storeTree(entries, { filename: 'site' });
    return [site.cid, (await storage.store(bytes, { filename: 'data.bin' })).cid];
  }, SITE);
});
after(() => app.close());

/** Status, headers and body of a request that the page makes. */
function ask(path, init) {
  return page.evaluate(
    async ([path, init]) => {
      const response = await fetch(path, init);
      const bytes = new Uint8Array(await response.arrayBuffer());
      const whole = bytes.every((byte, at) => byte === (at * 31 + 7) % 251);
      const text = bytes.length < 10_000 ? new TextDecoder().decode(bytes) : '';
      const { status, redirected, url } = response;
      return { status, redirected, url, headers: Object.fromEntries(response.headers), length: bytes.length, whole, text, bytes: bytes.length < 100 ? [...bytes] : [] };
    },
    [path, init],
  );
}

test('a file comes whole, with the headers of what never changes', async () => {
  const { status, headers, length, whole } = await ask(`/ipfs/${blob}`);
  assert.deepEqual([status, length, whole], [200, 3_000_000, true]);
  assert.equal(headers.etag, `"${blob}"`);
  assert.equal(headers['cache-control'], 'public, max-age=29030400, immutable');
  assert.equal(headers['x-ipfs-path'], `/ipfs/${blob}`);
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.equal(headers['content-length'], '3000000');
  assert.equal(headers['content-type'], 'application/octet-stream');
  assert.equal(headers['x-content-type-options'], 'nosniff');
});

test('HEAD has the headers alone; other methods are refused', async () => {
  const { status, headers, length } = await ask(`/ipfs/${blob}`, { method: 'HEAD' });
  assert.deepEqual([status, length, headers['content-length']], [200, 0, '3000000']);
  const ranged = await ask(`/ipfs/${blob}`, { method: 'HEAD', headers: { range: 'bytes=1-2' } });
  assert.deepEqual([ranged.status, ranged.headers['content-length'], ranged.length], [206, '2', 0]);
  const post = await ask(`/ipfs/${blob}`, { method: 'POST', body: 'x' });
  assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD']);
});

test('one range of bytes is given as 206, and none that lies behind the end', async () => {
  const rule = (first, last) => Array.from({ length: last - first + 1 }, (_, at) => ((first + at) * 31 + 7) % 251);
  for (const [range, first, last] of [
    ['bytes=0-0', 0, 0],
    ['bytes=1048570-1048590', 1_048_570, 1_048_590],
    ['bytes=2999990-', 2_999_990, 2_999_999],
    ['bytes=-5', 2_999_995, 2_999_999],
    ['bytes=2999998-9999999', 2_999_998, 2_999_999],
  ]) {
    const { status, headers, bytes } = await ask(`/ipfs/${blob}`, { headers: { range } });
    assert.deepEqual([status, headers['content-range']], [206, `bytes ${first}-${last}/3000000`], range);
    assert.deepEqual(bytes, rule(first, last), range);
  }
  for (const range of ['bytes=3000000-', 'bytes=-0']) {
    const { status, headers } = await ask(`/ipfs/${blob}`, { headers: { range } });
    assert.deepEqual([status, headers['content-range']], [416, 'bytes */3000000'], range);
  }
  for (const range of ['bytes=0-1,5-6', 'lines=1-2', 'bytes=5-2', 'bytes=-']) {
    const { status, length } = await ask(`/ipfs/${blob}`, { headers: { range } });
    assert.deepEqual([status, length], [200, 3_000_000], range);
  }
  const other = await ask(`/ipfs/${blob}`, { headers: { range: 'bytes=0-0', 'if-range': '"other"' } });
  assert.deepEqual([other.status, other.length], [200, 3_000_000]);
});

test('who has it already is told so', async () => {
  for (const tag of [`"${blob}"`, `W/"${blob}"`, `"other", "${blob}"`, '*']) {
    const { status, length } = await ask(`/ipfs/${blob}`, { headers: { 'if-none-match': tag }, cache: 'no-store' });
    assert.deepEqual([status, length], [304, 0], tag);
  }
  const other = await ask(`/ipfs/${blob}`, { headers: { 'if-none-match': '"other"' }, cache: 'no-store' });
  assert.equal(other.status, 200);
});

test('types come from names, else from the first bytes', async () => {
  const types = {
    'index.html': 'text/html; charset=utf-8',
    'css/site.css': 'text/css; charset=utf-8',
    'a%20picture.svg': 'image/svg+xml',
    'docs/one.txt': 'text/plain; charset=utf-8',
    'docs/deeper/page': 'text/html; charset=utf-8',
  };
  for (const [path, type] of Object.entries(types)) {
    assert.equal((await ask(`/ipfs/${site}/${path}`)).headers['content-type'], type, path);
  }
  const samples = await page.evaluate(async () => {
    const { contentType } = await import('/npm/gateway.js');
    const of = (text) => contentType(undefined, Uint8Array.from(text, (char) => char.charCodeAt(0)));
    return [of('\x89PNG\r\n\x1a\n....'), of('\0\0\0\x1cftypisom'), of('\0\0\0\x1cftypavif'), of('a\0b'), of('plain'), of('<?xml version="1.0"?>\n<svg>'), of('caf\xc3')];
  });
  const plain = 'text/plain; charset=utf-8';
  assert.deepEqual(samples, ['image/png', 'video/mp4', 'image/avif', 'application/octet-stream', plain, 'image/svg+xml', plain]);
});

test('directories: a slash, the index, a page that lists and escapes', async () => {
  const index = await ask(`/ipfs/${site}`);
  assert.deepEqual([index.status, index.redirected, index.url], [200, true, `${app.origin}/ipfs/${site}/`]);
  assert.match(index.text, /^<!doctype html><link/);
  const list = await ask(`/ipfs/${site}/docs`);
  assert.equal(list.url, `${app.origin}/ipfs/${site}/docs/`);
  assert.match(list.text, /<a href="\.\/one\.txt">one\.txt<\/a><span>5 B/);
  assert.match(list.text, /<a href="\.\/deeper\/">deeper\//);
  assert.match(list.text, /&#60;b&#62;&#38;&#34;&#39;\.md<\/a>/);
  assert.doesNotMatch(list.text, /<b>/);
  assert.match(list.headers.etag, /^"DirIndex-.*_CID-baf/);
  assert.equal(list.headers['cache-control'], 'public, max-age=604800, stale-while-revalidate=2678400');
  const again = await ask(`/ipfs/${site}/docs/`, { headers: { 'if-none-match': list.headers.etag }, cache: 'no-store' });
  assert.equal(again.status, 304);
});

test('symbolic links are followed, within the root', async () => {
  const { status, url, text } = await ask(`/ipfs/${site}/latest`);
  assert.deepEqual([status, url, text], [200, `${app.origin}/ipfs/${site}/docs/one.txt`, 'first']);
  assert.equal((await ask(`/ipfs/${site}/out`)).status, 403);
});

test('what is to be saved has a name, whatever characters it has', async () => {
  const { headers } = await ask(`/ipfs/${blob}?filename=${encodeURIComponent("it's (né).bin")}&download=true`);
  assert.equal(headers['content-disposition'], "attachment; filename*=UTF-8''it%27s%20%28n%C3%A9%29.bin");
});

test('blocks and archives, for those who prove them', async () => {
  const raw = await ask(`/ipfs/${site}/docs/one.txt?format=raw`);
  assert.deepEqual([raw.status, raw.headers['content-type'], raw.text], [200, 'application/vnd.ipld.raw', 'first']);
  const car = await ask(`/ipfs/${site}/docs/one.txt`, { headers: { accept: 'application/vnd.ipld.car' } });
  assert.equal(car.headers['content-type'], 'application/vnd.ipld.car; version=1; order=dfs; dups=n');
  assert.match(car.headers['content-disposition'], /^attachment/);
  assert.match(car.text, /roots.*first/s);
  assert.equal((await ask(`/ipfs/${site}?format=tar`)).status, 406);
});

test('failures are small pages with a status', async () => {
  const absent = 'bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy';
  for (const [path, status, says] of [
    ['/ipfs/', 400, /no address/],
    ['/ipfs/not-a-cid/x', 400, /no address/],
    [`/ipfs/${site}/%E0%A4%A`, 400, /percent/],
    [`/ipfs/${site}/docs%2Fone.txt`, 400, /slash/],
    [`/ipfs/${site}/none.txt`, 404, /nothing/],
    [`/ipfs/${absent}`, 504, /not held here/],
  ]) {
    const { headers, text, ...got } = await ask(path);
    assert.equal(got.status, status, path);
    assert.match(text, says, path);
    assert.equal(headers['cache-control'], 'no-store');
  }
  const cached = await ask(`/ipfs/${absent}`, { headers: { 'cache-control': 'only-if-cached' } });
  assert.equal(cached.status, 412);
});

test('a stored site works by its relative links, and runs no script', async () => {
  const tab = await app.browser.newPage();
  await tab.goto(`${app.origin}/ipfs/${site}`);
  const look = () => tab.evaluate(() => [getComputedStyle(document.body).backgroundColor, document.images[0].naturalWidth]);
  assert.deepEqual(await look(), ['rgb(1, 2, 3)', 7]);
  await tab.click('a');
  await tab.waitForURL(`${app.origin}/ipfs/${site}/docs/`);
  assert.equal(await tab.locator('li').count(), 4);
  await tab.close();
});

const SPY = `<!doctype html><title>quiet</title>
  <script>document.title = 'ran'; indexedDB.databases().then((all) => (document.title = 'read ' + all.length), (e) => (document.title = e.name))</script>
  <img src="none" onerror="document.title = 'handler ran'"><iframe srcdoc="<script>parent.document.title = 'frame ran'</script>"></iframe>
  <form action="/"><button>go</button></form><a href="javascript:document.title='link ran'">click</a>`;

test('a stored page cannot read the store, whatever it is written in', async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg"><title>quiet</title><script>document.title = 'ran'</script></svg>`;
  const xhtml = `<html xmlns="http://www.w3.org/1999/xhtml"><head><title>quiet</title><script>document.title = 'ran'</script></head></html>`;
  const cids = await page.evaluate(async (files) => {
    const storage = await (await import('/npm/index.js')).getStorage();
    const stored = await Promise.all(files.map(([filename, content]) => storage.store(content, { filename })));
    return stored.map(({ cid }) => cid);
  }, [['spy.html', SPY], ['spy.svg', svg], ['spy.xhtml', xhtml], ['spy', SPY]]);
  for (const cid of cids) {
    const tab = await app.browser.newPage();
    await tab.goto(`${app.origin}/ipfs/${cid}`);
    const link = tab.locator('a');
    if (await link.count()) await link.click();
    await tab.waitForTimeout(200);
    assert.equal(await tab.title(), 'quiet');
    await tab.close();
  }
});

test('with scripts of its own a stored page is of no origin; trusted, it is of this one', async () => {
  const stored = `<!doctype html><title>quiet</title><script>
    try { document.title = 'may ' + typeof localStorage.length } catch (error) { document.title = error.name }
  </script>`;
  const policies = await page.evaluate(async (stored) => {
    const { respond } = await import('/npm/gateway.js');
    const storage = await (await import('/npm/index.js')).getStorage();
    const { cid } = await storage.store(stored, { filename: 'stored.html' });
    const policy = async (scripts) => (await respond(new Request(`/ipfs/${cid}`), storage, { scripts })).headers.get('content-security-policy');
    return { none: await policy('none'), isolated: await policy('isolated'), trusted: await policy('trusted') };
  }, stored);
  // What the policies do, in whoever's answer they are.
  const server = createServer((request, response) => {
    const policy = policies[request.url.slice(1)];
    response.writeHead(200, { 'content-type': 'text/html', ...(policy && { 'content-security-policy': policy }) }).end(stored);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const tab = await app.browser.newPage();
  const titles = {};
  for (const name of Object.keys(policies)) {
    await tab.goto(`http://127.0.0.1:${server.address().port}/${name}`);
    titles[name] = await tab.title();
  }
  assert.deepEqual(titles, { none: 'quiet', isolated: 'SecurityError', trusted: 'may number' });
  await tab.close();
  server.close();
});

test('local only: nothing is fetched, and stored pages ask nobody', async () => {
  const far = await gateway('dir3-v1.car');
  const asked = [];
  const tracker = createServer((request, response) => (asked.push(request.url), response.end()));
  await new Promise((resolve) => tracker.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${tracker.address().port}/pixel.png`;
  const cid = await page.evaluate(async (url) => {
    const storage = await (await import('/npm/index.js')).getStorage();
    return (await storage.store(`<!doctype html><title>t</title><img src="${url}">`, { filename: 'page.html' })).cid;
  }, url);
  const settings = (change) => page.evaluate(async (change) => void (await (await import('/settings.js')).changeSettings(change)), change);

  await settings({ remotes: [far.url], localOnly: true });
  assert.equal((await ask(`/ipfs/${far.roots[0]}/`)).status, 504);
  assert.deepEqual(far.state.requests, []);
  const tab = await app.browser.newPage();
  await tab.goto(`${app.origin}/ipfs/${cid}`, { waitUntil: 'load' });
  assert.deepEqual(asked, []);

  await settings({ localOnly: false });
  assert.equal((await ask(`/ipfs/${far.roots[0]}/`)).status, 200);
  assert.notDeepEqual(far.state.requests, []);
  await tab.goto(`${app.origin}/ipfs/${cid}`, { waitUntil: 'load' });
  assert.deepEqual(asked, ['/pixel.png']);
  await tab.close();
  await settings({ remotes: [] });
  tracker.close();
  far.close();
});
