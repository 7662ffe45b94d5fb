// Serves dist/www as a static host would. By itself: `node serve.mjs [PORT]`.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const WWW = fileURLToPath(new URL('../../dist/www', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

/** `requests` are the paths that were asked for; `close` ends it as if the plug were pulled, `open` begins again. */
export async function serve({ port = 0, root = WWW } = {}) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    requests.push(pathname);
    const path = normalize(decodeURIComponent(pathname)).replace(/\/$/, '/index.html');
    const found = (await isFile(join(root, path))) ? path : '/404.html';
    response.writeHead(found === path ? 200 : 404, {
      'content-type': TYPES[extname(found)] ?? 'application/octet-stream',
      'cache-control': 'no-cache',
    });
    createReadStream(join(root, found)).on('error', () => response.end()).pipe(response);
  });
  const open = (at) => new Promise((resolve) => server.listen(at, '127.0.0.1', resolve));
  await open(port);
  const bound = server.address().port;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { origin: `http://localhost:${bound}`, requests, close, open: () => open(bound) };
}

async function isFile(path) {
  return stat(path).then((stats) => stats.isFile(), () => false);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { origin } = await serve({ port: Number(process.argv[2] ?? 8000) });
  console.log(`\nopen ${origin}/ (Ctrl+C ends it)`);
}
