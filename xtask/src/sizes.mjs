// Prints the size of every script and module under a directory, plain and compressed, and what a page downloads.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

/** What the package may weigh for a page that uses all of its main entry, in bytes, compressed by brotli. */
const BUDGET = 200_000;
/** Whether more than that is an error. */
const STRICT = false;

const directory = process.argv[2];
const files = readdirSync(directory, { recursive: true })
  .filter((file) => /\.(wasm|m?js)$/.test(file) && !/^(www\/npm|docs)/.test(file))
  .sort();
const row = (name, ...numbers) =>
  console.log(name.padEnd(36) + numbers.map((n) => n.toLocaleString("en").padStart(12)).join(""));

row("file", "bytes", "gzip", "brotli");
const brotli = new Map();
for (const file of files) {
  const path = join(directory, file);
  const bytes = readFileSync(path);
  brotli.set(path, brotliCompressSync(bytes).length);
  row(path, bytes.length, gzipSync(bytes, { level: 9 }).length, brotli.get(path));
}

/** A file with all that it names of the files here: what it imports, and what it loads by URL. */
function reached(path, found = new Set()) {
  if (found.has(path) || !brotli.has(path)) return found;
  found.add(path);
  if (path.endsWith(".wasm")) return found;
  for (const [, name] of readFileSync(path, "utf8").matchAll(/["'`](\.{0,2}[\w./-]+\.(?:m?js|wasm))["'`]/g)) {
    reached(join(dirname(path), name), found);
  }
  return found;
}

const entry = join(directory, "npm/index.js");
if (existsSync(entry)) {
  const total = [...reached(entry)].reduce((sum, path) => sum + brotli.get(path), 0);
  const share = `${total.toLocaleString("en")} of ${BUDGET.toLocaleString("en")} bytes`;
  console.log(`\nA page downloads for the npm package, wasm and scripts, by brotli: ${share}`);
  if (STRICT && total > BUDGET) {
    console.error("That is over its budget (xtask/src/sizes.mjs).");
    process.exit(1);
  }
}
