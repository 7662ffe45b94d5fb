// The types: a program that uses all of them compiles, and wrong uses do not.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

test('the types hold', async () => {
  const run = promisify(execFile);
  const done = await run('npx', ['--no-install', 'tsc', '--project', 'tsconfig.json']).catch((error) => error);
  assert.equal(done.code ?? 0, 0, done.stdout);
});

test('every export is declared, and every declaration exported', async () => {
  const { readFile } = await import('node:fs/promises');
  const read = (file) => readFile(new URL(`../../src/bindings/browser/npm/${file}`, import.meta.url), 'utf8');
  const exported = (text) => [
    ...[...text.matchAll(/^export (?:async )?(?:class|function\*?) (\w+)/gm)].map(([, name]) => name),
    ...[...text.matchAll(/^export (?:const )?\{ ([\w, ]+) \}/gm)].flatMap(([, names]) => names.split(', ')),
  ];
  const node = exported(await read('node.js'));
  const [index, errors, types] = await Promise.all(['index.js', 'errors.js', 'index.d.ts'].map(read));
  const internal = ['asError'];
  const shipped = [...exported(index), ...exported(errors)].filter((name) => !internal.includes(name));
  assert.deepEqual(shipped.sort(), exported(types).sort());
  assert.deepEqual(node.sort(), exported(index).sort());
  const [helia, heliaTypes] = await Promise.all(['helia.js', 'helia.d.ts'].map(read));
  assert.deepEqual(exported(helia).sort(), exported(heliaTypes).sort());
});
