// `./x demo FILE`: stores a file through the command under wasmtime and through the package in Chromium, compares the
// CIDs, and reads it back from each after a restart.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createHash } from 'node:crypto';
import { serve } from '../xtask/src/serve.mjs';
import { freshProfile, launch, ROOT } from './page/harness.mjs';

const file = resolve(process.argv[2] ?? join(ROOT, 'README.md'));
const name = basename(file);
const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
const wanted = hash(readFileSync(file));
const store = mkdtempSync(join(tmpdir(), 'ipfs-kit-demo-'));

console.log(`\n${file}, ${statSync(file).size.toLocaleString('en')} bytes\n\nunder wasmtime:`);
const wasi = run('store', `/in/${name}`).toString().split(' ')[0];
run('ls');
const back = run('retrieve', wasi);
verdict('after a restart', hash(back) === wanted);

console.log('\nin Chromium:');
const server = await serve();
const profile = await freshProfile();
let browser = await launch(profile.path);
let page = await open();
await page.setInputFiles('#pick-files', file);
await page.waitForSelector('#list code', { timeout: 600_000 });
const cid = await page.getAttribute('#list code', 'title');
console.log(`the page stored it as ${cid}`);
await browser.close();
browser = await launch(profile.path);
page = await open();
await page.click('#list a');
const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save' }).click()]);
const returned = hash(readFileSync(await download.path()));
if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
await browser.close();
await server.close();
await profile.remove();
rmSync(store, { recursive: true });
verdict('after a restart', returned === wanted);
verdict('both CIDs', cid === wasi);
console.log('\n./x serve opens the page for you to see');

async function open() {
  const page = await browser.newPage();
  await page.goto(`${server.origin}/`);
  return page;
}

/** The command, in a folder of its own; shown as one would type it. */
function run(...command) {
  const cli = join(ROOT, 'dist/ipfs-kit-storage.cli.wasm');
  const folders = ['--dir', `${store}::/store`, '--dir', `${dirname(file)}::/in`];
  console.log(`$ wasmtime run --dir STORE::/store --dir IN::/in ipfs-kit-storage.cli.wasm --store /store ${command.join(' ')}`);
  const options = { maxBuffer: Infinity, stdio: ['ignore', 'pipe', 'inherit'] };
  const output = execFileSync(process.env.WASMTIME ?? 'wasmtime', ['run', ...folders, cli, '--store', '/store', ...command], options);
  if (command[0] !== 'retrieve') process.stdout.write(output);
  return output;
}

function verdict(what, same) {
  console.log(`${what}: ${same ? 'the same' : 'DIFFERENT'}`);
  if (!same) process.exitCode = 1;
}
