// The package as npm packs it: what is in it, and that it works under Vite, webpack, esbuild, and with none of them.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import * as esbuild from 'esbuild';
import { build } from 'vite';
import webpack from 'webpack';
import { serve } from '../../xtask/src/serve.mjs';
import { freshProfile, launch, ROOT } from '../page/harness.mjs';

const run = promisify(execFile);
const HELLO_CID = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';

const PROGRAM = (open) => `
  import { openStorage, StorageError } from 'ipfs-kit-storage';
  import { contentType } from 'ipfs-kit-storage/gateway';
  const storage = await openStorage(${open});
  const { cid } = await storage.store('hello world', { filename: 'hello.txt' });
  const bytes = await storage.retrieve(cid);
  const error = await storage.retrieve('none').catch((error) => [error.name, error instanceof StorageError].join());
  const [{ kind }] = (await storage.backendStatus()).backends; // opfs, if its worker was found
  document.title = [cid, new TextDecoder().decode(bytes), error, contentType('a.txt'), kind].join(' | ');
`;

let folder;
let browser;
let profile;
let packed;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ipfs-kit-pack-'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: join(ROOT, 'dist/npm') });
  [packed] = JSON.parse(stdout);
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const quiet = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts'];
  await run('npm', ['install', ...quiet, join(folder, packed.filename)], { cwd: folder });
  profile = await freshProfile();
  browser = await launch(profile.path);
});
after(async () => {
  await browser.close();
  await profile.remove();
  await rm(folder, { recursive: true });
});

/** A project with a page that runs the program. */
async function project(name, { open = '', head = '', script = 'main.js' } = {}) {
  const root = join(folder, name);
  await mkdir(root);
  await symlink(join(folder, 'node_modules'), join(root, 'node_modules'));
  await writeFile(join(root, 'package.json'), '{ "private": true, "type": "module" }');
  await writeFile(join(root, 'index.html'), `<!doctype html><title>…</title>${head}<script type="module" src="./${script}"></script>`);
  await writeFile(join(root, 'main.js'), PROGRAM(open));
  return root;
}

/** Opens what was built, and tells whether it stores and reads. */
async function works(root) {
  const server = await serve({ root });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${server.origin}/`);
  await page.waitForFunction(() => document.title !== '…', undefined, { timeout: 30_000 }).catch(() => assert.fail(errors.join()));
  const told = [HELLO_CID, 'hello world', 'InvalidCidError,true', 'text/plain; charset=utf-8', 'opfs'];
  assert.deepEqual((await page.title()).split(' | '), told);
  assert.ok(server.requests.some((path) => path.endsWith('.wasm')), 'the wasm is a file of its own');
  await page.close();
  await server.close();
}

test('the tarball has what is needed, and all that it refers to', async () => {
  const files = new Set(packed.files.map(({ path }) => path));
  for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'CHANGELOG.md', 'package.json']) {
    assert.ok(files.has(file), file);
  }
  const odd = [...files].filter((file) => !/\.(js|d\.ts|wasm|md)$|^LICENSE-|^package\.json$/.test(file));
  assert.deepEqual(odd, []);
  const at = join(folder, 'node_modules/ipfs-kit-storage');
  const { exports, version } = JSON.parse(await readFile(join(at, 'package.json'), 'utf8'));
  assert.match(await readFile(join(ROOT, 'Cargo.toml'), 'utf8'), new RegExp(`^version = "${version}"`, 'm'));
  const targets = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(targets));
  for (const target of targets(exports)) assert.ok(files.has(target.slice(2)), target);
  for (const file of files) {
    if (!/\.(js|d\.ts)$/.test(file)) continue;
    const text = await readFile(join(at, file), 'utf8');
    for (const [, to] of text.matchAll(/^(?:import|export)\b[^;]*?\bfrom '(\.[^']+)'/gm)) {
      const target = join(dirname(file), to);
      assert.ok(files.has(target) || files.has(target.replace(/\.js$/, '.d.ts')), `${file} needs ${target}`);
    }
  }
});

test('a plain module script, with an import map', async () => {
  const imports = { 'ipfs-kit-storage': './kit/index.js', 'ipfs-kit-storage/gateway': './kit/gateway.js' };
  const root = await project('plain', { head: `<script type="importmap">${JSON.stringify({ imports })}</script>` });
  await cp(join(folder, 'node_modules/ipfs-kit-storage'), join(root, 'kit'), { recursive: true });
  await works(root);
});

test('Vite', async () => {
  const root = await project('vite');
  await build({ root, logLevel: 'error', configFile: false, build: { target: 'esnext' } });
  await works(join(root, 'dist'));
});

test('webpack', async () => {
  const root = await project('webpack', { script: 'bundle.js' });
  const stats = await new Promise((resolve, reject) => {
    const done = (error, stats) => (error ? reject(error) : resolve(stats));
    const output = { path: join(root, 'dist'), filename: 'bundle.js', module: true };
    webpack({ mode: 'production', context: root, entry: './main.js', experiments: { outputModule: true }, output }, done);
  });
  assert.equal(stats.hasErrors(), false, stats.toString('errors-only'));
  await copyFile(join(root, 'index.html'), join(root, 'dist/index.html'));
  await works(join(root, 'dist'));
});

test('esbuild, with the wasm by its loader and the worker as a script of its own', async () => {
  const root = await project('esbuild', { script: 'bundle.js', open: '{ module: new URL(wasm, import.meta.url) }' });
  const program = await readFile(join(root, 'main.js'), 'utf8');
  await writeFile(join(root, 'main.js'), `import wasm from 'ipfs-kit-storage/ipfs_kit_storage_bg.wasm';${program}`);
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: { bundle: 'main.js', worker: 'ipfs-kit-storage/worker' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    loader: { '.wasm': 'file' },
    outdir: 'dist',
    logLevel: 'error',
  });
  await copyFile(join(root, 'index.html'), join(root, 'dist/index.html'));
  await works(join(root, 'dist'));
});

test('the guide for web apps, as a reader builds it', async () => {
  const root = await project('guide');
  const guide = await readFile(join(ROOT, 'docs/browser.md'), 'utf8');
  const files = [...guide.matchAll(/^```\w+ (\S+)\n([^]*?)^```$/gm)];
  assert.deepEqual(files.map(([, name]) => name), ['index.html', 'main.js', 'sw.js', 'vite.config.js']);
  for (const [, name, content] of files) await writeFile(join(root, name), content);
  const vite = join(ROOT, 'tests/bundlers/node_modules/vite');
  await symlink(vite, join(folder, 'node_modules/vite'));
  await run(process.execPath, [join(vite, 'bin/vite.js'), 'build'], { cwd: root });

  const server = await serve({ root: join(root, 'dist') });
  const page = await browser.newPage();
  await page.goto(`${server.origin}/`);
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  const hello = { name: 'hello.txt', mimeType: 'text/plain', buffer: Buffer.from('hello world') };
  await page.setInputFiles('#picker', hello);
  await page.waitForSelector('#files a');
  assert.equal(await page.textContent('#files'), 'hello.txt, 11 bytes');
  assert.equal(await page.textContent('#said'), HELLO_CID);
  await page.reload();
  await page.waitForSelector('#files a');
  const answer = page.waitForResponse((response) => response.url().includes(`/ipfs/${HELLO_CID}`));
  await page.click('#files a');
  assert.ok((await answer).fromServiceWorker());
  assert.equal(await page.textContent('body'), 'hello world');
  await page.close();
  await server.close();
});

test('what is not imported is not in the bundle', async () => {
  const root = await project('shaken');
  await writeFile(join(root, 'main.js'), `import { contentType } from 'ipfs-kit-storage/gateway'; document.title = contentType('a.txt');`);
  const { outputFiles } = await esbuild.build({ absWorkingDir: root, entryPoints: ['main.js'], bundle: true, minify: true, format: 'esm', write: false, outdir: 'dist' });
  const [{ text }] = outputFiles;
  assert.ok(text.length < 8_000, `${text.length} bytes`);
  assert.doesNotMatch(text, /wasm_bindgen|IndexedDB/);
  assert.deepEqual((await readdir(root)).includes('dist'), false);
});
