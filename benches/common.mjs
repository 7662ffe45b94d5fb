// What the benchmarks of all homes share: their data, their figures, and how these are printed.

import { spawn } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { createWriteStream, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const MIB = 1024 * 1024;
export const BIG_BYTES = 256 * MIB;
export const SMALL_FILES = 2000;
export const SMALL_BYTES = 4096;
export const RANGES = 200;
export const RANGE_BYTES = 64 * 1024;

/** Bytes that no chunker finds twice, the same in every run: a stream cipher's. */
function cipher(number) {
  const iv = Buffer.alloc(16);
  iv.writeUInt32BE(number);
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, 'ipfs-kit-storage'), iv);
}

/** The bytes of one small file. */
export function smallFile(number, length) {
  return cipher(number).update(Buffer.alloc(length));
}

/** Writes a large file `big` and a folder `small` of small ones. */
export async function makeData(folder) {
  await mkdir(join(folder, 'small'), { recursive: true });
  const big = createWriteStream(join(folder, 'big'));
  const stream = cipher(0);
  const zeros = Buffer.alloc(MIB);
  for (let at = 0; at < BIG_BYTES; at += MIB) if (!big.write(stream.update(zeros))) await once(big, 'drain');
  big.end();
  await once(big, 'close');
  for (let number = 1; number <= SMALL_FILES; number++) {
    const name = String(number).padStart(4, '0');
    await writeFile(join(folder, 'small', name), smallFile(number, SMALL_BYTES));
  }
}

/** Runs a program to its end; what it printed. */
export async function run(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: ROOT, ...options });
  let printed = '';
  child.stdout.on('data', (data) => (printed += data));
  const [code, signal] = await once(child, 'close');
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed (${signal ?? code})\n${printed}`);
  return printed;
}

/** The packages that a folder's lock file names, installed into it. */
export async function npmPackages(folder) {
  const time = (file) => statSync(join(folder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (time('node_modules/.package-lock.json') >= time('package-lock.json')) return;
  const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['ci', ...quietly], { cwd: folder });
}

/** Of each figure, one value a repetition. */
export class Figures {
  #values = {};

  add(prefix, figures) {
    for (const [name, value] of Object.entries(figures)) (this.#values[`${prefix}.${name}`] ??= []).push(value);
  }

  /** All repetitions of `name`, each through `map`. */
  of(name, map = (value) => value) {
    if (!(name in this.#values)) throw new Error(`${name} was not measured`);
    return this.#values[name].map(map);
  }

  megabytesPerSecond(name, bytes = BIG_BYTES) {
    return this.of(name, (seconds) => bytes / 1e6 / seconds);
  }

  perSecond(name, count) {
    return this.of(name, (seconds) => count / seconds);
  }

  milliseconds(name) {
    return this.of(name, (seconds) => seconds * 1000);
  }

  megabytes(name) {
    return this.of(name, (bytes) => bytes / 1e6);
  }
}

/**
 * Prints rows `[subject, unit, ours, theirs]`, and of each the ratio of ours to theirs: both of one repetition ran one
 * after the other, so the machine's moods cancel out. Theirs may be missing.
 */
export function table(title, names, rows) {
  const lines = rows.map(([subject, unit, ours, theirs]) => [
    subject,
    ours ? spread(ours) : '',
    theirs ? spread(theirs) : '',
    unit,
    ours && theirs ? spread(ratios(ours, theirs), 2) : '',
  ]);
  const all = [['', ...names, '', 'ratio'], ...lines];
  const widths = all[0].map((_, column) => Math.max(...all.map((line) => line[column].length)));
  console.log(`\n${title}, load ${loadavg()[0].toFixed(1)} on ${availableParallelism()} cores\n`);
  for (const [subject, ours, theirs, unit, ratio] of all) {
    const [first, second, third, fourth, fifth] = widths;
    console.log(
      `  ${subject.padEnd(first)}  ${ours.padStart(second)}  ${theirs.padStart(third)}  ${unit.padEnd(fourth)}  ${ratio.padStart(fifth)}`.trimEnd(),
    );
  }
  console.log();
}

/** One line a bar: `what` must be at least `least` times theirs. */
export function ratioBar(what, ours, theirs, least) {
  const ratio = median(ratios(ours, theirs));
  say(ratio >= least, `${what}: ${ratio.toFixed(2)}x, the bar is ${least}x`);
}

/** One line a bar: `what` must be at most `most` times theirs. */
export function ratioLimit(what, ours, theirs, most) {
  const ratio = median(ratios(ours, theirs));
  say(ratio <= most, `${what}: ${ratio.toFixed(2)}x, the bar is at most ${most}x`);
}

/** One line: `what` must stay below `most`. */
export function limitBar(what, values, most, unit) {
  const value = median(values);
  say(value < most, `${what}: ${value.toFixed(1)} ${unit}, the bar is below ${most} ${unit}`);
}

function say(reached, text) {
  console.log(`  ${reached ? 'reached' : 'MISSED '}  ${text}`);
}

function ratios(ours, theirs) {
  return ours.map((value, at) => value / theirs[Math.min(at, theirs.length - 1)]);
}

function median(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function spread(values, digits) {
  const needed = (value) => (Number.isInteger(value) ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0);
  const text = (value) => value.toFixed(digits ?? needed(value));
  const whole = text(median(values));
  return values.length === 1 ? whole : `${whole} (${text(Math.min(...values))}–${text(Math.max(...values))})`;
}
