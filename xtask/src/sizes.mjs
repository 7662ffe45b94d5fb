// Prints the size of every script and module under a directory, plain and compressed.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const directory = process.argv[2];
const files = readdirSync(directory, { recursive: true })
  .filter((file) => /\.(wasm|m?js)$/.test(file))
  .sort();
const row = (name, ...numbers) =>
  console.log(name.padEnd(36) + numbers.map((n) => n.toLocaleString("en").padStart(12)).join(""));

row("file", "bytes", "gzip", "brotli");
for (const file of files) {
  const bytes = readFileSync(join(directory, file));
  row(join(directory, file), bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length);
}
