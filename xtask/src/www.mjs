// Makes the web app ready to be served: www/ and the npm package in one folder, and a list of its files with a version,
// from which the service worker keeps them for when there is no network.
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const dist = process.argv[2];
const to = join(dist, 'www');
rmSync(to, { recursive: true, force: true });
cpSync('www', to, { recursive: true });
const shipped = (path) => statSync(path).isDirectory() || /\.(js|wasm)$/.test(path);
cpSync(join(dist, 'npm'), join(to, 'npm'), { recursive: true, filter: shipped });

const hash = createHash('sha256');
const files = readdirSync(to, { recursive: true })
  .filter((file) => statSync(join(to, file)).isFile() && !/^(shell|sw)\.js$|^404\.html$/.test(file))
  .sort();
for (const file of files) hash.update(file).update(readFileSync(join(to, file)));
const worker = readFileSync(join(to, 'sw.js'), 'utf8');
const version = hash.update(worker).digest('hex').slice(0, 16);
writeFileSync(join(to, 'shell.js'), `export const VERSION = '${version}';\nexport const FILES = ${JSON.stringify(files, null, 2)};\n`);
// Browsers look for a newer service worker in its own script, not in those that it imports.
writeFileSync(join(to, 'sw.js'), `// Version ${version}\n${worker}`);
