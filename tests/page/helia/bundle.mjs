// Bundles a page's script with the built package and Helia, as an application would, into memory.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { ROOT } from '../harness.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NPM = join(ROOT, 'dist/npm');

/** To be served beside the package's wasm, which it looks for there. */
export async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, entry)],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    logLevel: 'error',
    define: { global: 'globalThis' },
    alias: {
      'ipfs-kit-storage': join(NPM, 'index.js'),
      'ipfs-kit-storage/helia': join(NPM, 'helia.js'),
      'aegir/chai': join(HERE, 'chai.js'),
    },
    nodePaths: [join(HERE, 'node_modules')],
  });
  return outputFiles[0].text;
}
