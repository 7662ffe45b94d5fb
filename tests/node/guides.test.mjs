// The guides of docs/, as a reader runs them: their files and commands, in an empty folder beside dist/.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

let home;
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'ipfs-kit-guides-'));
});
after(() => rm(home, { recursive: true, force: true }));

/** The fenced blocks of a guide: what they are, the file they are to be, and what they say. */
async function blocks(guide) {
  const text = await readFile(join(ROOT, 'docs', guide), 'utf8');
  return [...text.matchAll(/^```(\w+) ?(.*)\n([^]*?)^```$/gm)].map(([, kind, file, content]) => ({ kind, file, content }));
}

/** The commands of a guide's console blocks, and what each is said to print. */
async function commands(guide) {
  const lines = (await blocks(guide)).filter(({ kind }) => kind === 'console').flatMap(({ content }) => content.split('\n'));
  const found = [];
  for (const line of lines) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), said: '' });
    else if (line) found.at(-1).said += `${line}\n`;
  }
  return found;
}

const DATE = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g;

test("the operator's guide", async () => {
  const folder = join(home, 'operator');
  await mkdir(folder);
  await symlink(join(ROOT, 'dist'), join(folder, 'dist'));
  const all = await commands('operating.md');
  assert.ok(all.length > 15, `${all.length} commands`);
  // One shell for all of them, as a reader has it; a line of its own tells one's output from the next one's.
  const mark = '--- ended with';
  const script = all.map(({ command }) => `${command}\necho "${mark} $?"\n`).join('');
  const wasmtime = `wasmtime() { '${process.env.WASMTIME ?? 'wasmtime'}' "$@"; }\n`;
  const { stdout, stderr } = spawnSync('bash', ['-c', `exec 2>&1\n${wasmtime}${script}`], { cwd: folder, encoding: 'utf8' });
  const ends = stdout.split(new RegExp(`^${mark} (\\d+)\n`, 'm'));
  all.forEach(({ command, said }, at) => {
    const [output, status] = [ends[2 * at], ends[2 * at + 1]];
    assert.equal(output?.replace(DATE, 'DATE'), said.replace(DATE, 'DATE'), `${command}\n${stderr}`);
    assert.equal(status, said.startsWith('error: ') ? '1' : '0', command);
  });
});

test('a project of your own is tested in Node', async () => {
  const folder = join(home, 'notes');
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await symlink(join(ROOT, 'dist/npm'), join(folder, 'node_modules/ipfs-kit-storage'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const files = (await blocks('ci.md')).filter(({ kind, file }) => kind === 'js' && file);
  assert.deepEqual(files.map(({ file }) => file), ['notes.js', 'notes.test.js']);
  for (const { file, content } of files) await writeFile(join(folder, file), content);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env; // it is a run of its own
  const run = spawnSync(process.execPath, ['--test', '--test-reporter=tap'], { cwd: folder, encoding: 'utf8', env });
  assert.match(run.stdout, /^# pass 2$/m, run.stdout + run.stderr);
  assert.equal(run.status, 0);
});
