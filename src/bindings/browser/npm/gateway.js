// A path gateway over a storage: requests for `/ipfs/CID/path` and their responses, for a service worker. It knows nothing of
// how a storage is opened. Types and documentation are in gateway.d.ts.

import { contentType } from './media.js';
import { errorPage, listing } from './pages.js';
import { rangeOf } from './range.js';

export { contentType } from './media.js';

/** What never changes may be kept for so long: the number is that of the path gateway specification. */
const IMMUTABLE = 'public, max-age=29030400, immutable';
/** A listing that we made may look better one day. */
const GENERATED = 'public, max-age=604800, stale-while-revalidate=2678400';

/** Bytes that tell of what type a file is. */
const SNIFF_BYTES = 512;

/** The status of each kind of failure; 500 for others. */
const STATUS = {
  'invalid-cid': 400,
  'invalid-argument': 400,
  'not-found': 404,
  unavailable: 504,
  integrity: 502,
  denied: 403,
  locked: 503,
  cancelled: 503,
  'quota-exceeded': 507,
  unsupported: 501,
};

export async function respond(request, storage, { base = '/ipfs/', offline = false, scripts = 'none' } = {}) {
  const onlyIfCached = request.cache === 'only-if-cached' || /only-if-cached/i.test(request.headers.get('cache-control'));
  const isolation = policy(scripts, offline);
  let response;
  try {
    const asked = parse(new URL(request.url), base, request.headers.get('accept') ?? '');
    response = await answer(request, await storage, { ...asked, offline: offline || onlyIfCached });
  } catch (error) {
    const status = isAbsent(error) ? (onlyIfCached ? 412 : 504) : (error.status ?? STATUS[error.code] ?? 500);
    response = html(errorPage(status, error), { 'cache-control': 'no-store' }, status);
    if (status === 405) response.headers.set('allow', 'GET, HEAD');
  }
  response.headers.set('x-content-type-options', 'nosniff');
  // Whatever a browser may show as a page. Its viewer of PDF keeps scripts to itself, and would not start.
  if (isolation && response.headers.get('content-type') !== 'application/pdf') {
    response.headers.set('content-security-policy', isolation);
  }
  if (request.method !== 'HEAD' || response.body === null) return response;
  await response.body.cancel();
  return new Response(null, { status: response.status, headers: response.headers });
}

/** Not held, and nobody could be asked: of a CID that is nowhere to be found `stat` says that nothing is stored under it. */
function isAbsent({ code, cid, path }) {
  return code === 'not-available-offline' || (code === 'not-found' && path === cid);
}

/**
 * What keeps a stored page away from the store: a page without scripts can be of the app's origin, where the service worker
 * answers for its styles, images and links; one with scripts must not be. Of the network it gets nothing where nobody may
 * be asked.
 */
function policy(scripts, offline) {
  if (scripts === 'trusted') return undefined;
  const common = 'sandbox allow-popups allow-popups-to-escape-sandbox allow-downloads';
  const sources = offline ? "; default-src 'self' data: blob: 'unsafe-inline'" : '';
  if (scripts === 'isolated') return `${common} allow-scripts allow-forms allow-modals${sources}`;
  return `${common} allow-same-origin${sources}; script-src 'none'; form-action 'none'`;
}

/** What a URL asks for. */
function parse(url, base, accept) {
  if (!url.pathname.startsWith(base)) throw refused(400, `this gateway answers below ${base}`);
  const [cid, ...names] = url.pathname.slice(base.length).split('/').filter((name) => name !== '').map(decoded);
  if (cid === undefined) throw refused(400, `a CID goes behind ${base}`);
  const wanted = /application\/vnd\.ipld\.(raw|car)/.exec(accept);
  return {
    url,
    cid,
    names,
    path: [cid, ...names].join('/'),
    format: url.searchParams.get('format') ?? wanted?.[1],
    filename: url.searchParams.get('filename') ?? undefined,
    download: url.searchParams.get('download') === 'true',
  };
}

function decoded(name) {
  let text;
  try {
    text = decodeURIComponent(name);
  } catch {
    throw refused(400, `${name} is not percent-encoded text`);
  }
  if (text.includes('/')) throw refused(400, `a name in a path has no slash: ${text}`);
  return text;
}

async function answer(request, storage, asked) {
  if (request.method !== 'GET' && request.method !== 'HEAD') throw refused(405, `this gateway takes GET and HEAD`);
  const { url, path, format, offline } = asked;
  const info = await storage.stat(path, { offline });
  if (format !== undefined) return inFormat(request, storage, info, asked);
  if (info.kind === 'file') return file(request, storage, info, asked);
  if (info.kind === 'directory') {
    if (!url.pathname.endsWith('/')) return redirect(`${url.origin}${url.pathname}/${url.search}`);
    return directory(request, storage, info, asked);
  }
  if (info.kind === undefined) throw notHeld(path);
  if (info.kind === 'symlink') return redirect(new URL(linked(info.target, asked.names), url.href.replace(/\/+$/, '')));
  return block(request, storage, info, asked);
}

/** A file, or a range of it. */
async function file(request, storage, info, { path, names, filename, download, offline }) {
  const name = filename ?? names.at(-1) ?? info.filename;
  const etag = `"${info.cid}"`;
  const headers = immutable(etag, path);
  if (matches(request, etag)) return new Response(null, { status: 304, headers });
  const { signal } = request;
  const type = contentType(name) ?? contentType(name, await storage.retrieve(path, { length: SNIFF_BYTES, offline, signal }));
  Object.assign(headers, { 'content-type': type, 'accept-ranges': 'bytes' }, disposition(name, filename, download));

  const { size } = info;
  const fresh = [null, etag].includes(request.headers.get('if-range'));
  const range = fresh ? rangeOf(request.headers.get('range'), size) : undefined;
  if (range === 'unsatisfiable') {
    const error = refused(416, `the file has ${size} bytes`);
    return html(errorPage(416, error), { 'content-range': `bytes */${size}` }, 416);
  }
  const { first, last } = range ?? { first: 0, last: size - 1 };
  headers['content-length'] = String(last - first + 1);
  if (range) headers['content-range'] = `bytes ${first}-${last}/${size}`;
  const status = range ? 206 : 200;
  if (request.method === 'HEAD') return new Response(null, { status, headers });
  const body = await begun(storage.stream(path, { offset: first, length: last - first + 1, offline, signal }));
  return new Response(body, { status, headers });
}

/** A directory's index.html, or a page that lists it. */
async function directory(request, storage, info, asked) {
  const { path, names, offline } = asked;
  const index = await storage.stat(`${path}/index.html`, { offline }).catch((error) => {
    if (error.code === 'not-found') return undefined;
    throw error;
  });
  if (index?.kind === 'file') {
    return file(request, storage, index, { ...asked, path: `${path}/index.html`, names: [...names, 'index.html'] });
  }
  const etag = `"DirIndex-1_CID-${info.cid}"`;
  const headers = { ...immutable(etag, path), 'cache-control': GENERATED };
  if (matches(request, etag)) return new Response(null, { status: 304, headers });
  const body = await begun(listing(storage, info, { path, names, offline }));
  return html(body, headers);
}

/** What is neither a file nor a directory: the bytes of its block. */
async function block(request, storage, info, { path, names, offline }) {
  if (names.length > 0) throw refused(501, 'a path through linked data leads to no file; ask for its block by its own CID');
  const etag = `"${info.cid}"`;
  const headers = immutable(etag, path);
  if (matches(request, etag)) return new Response(null, { status: 304, headers });
  headers['content-type'] = info.cid.startsWith('bag') ? 'application/json' : 'application/vnd.ipld.dag-cbor';
  return new Response(await storage.getBlock(info.cid, { offline }), { headers });
}

/** The trustless forms: a block, or an archive of all that is below a path. */
async function inFormat(request, storage, info, { path, format, filename, offline }) {
  const etag = format === 'raw' ? `"${info.cid}.raw"` : `W/"${path}.car"`;
  const headers = immutable(etag, path);
  if (matches(request, etag)) return new Response(null, { status: 304, headers });
  Object.assign(headers, disposition(undefined, filename ?? `${info.cid}.${format === 'car' ? 'car' : 'bin'}`, true));
  const { signal } = request;
  if (format === 'raw') {
    headers['content-type'] = 'application/vnd.ipld.raw';
    return new Response(await storage.getBlock(info.cid, { offline, signal }), { headers });
  }
  if (format !== 'car') throw refused(406, `no format ${format} here; there are raw and car`);
  headers['content-type'] = 'application/vnd.ipld.car; version=1; order=dfs; dups=n';
  return new Response(await begun(storage.exportCar(path, { offline, signal })), { headers });
}

/** A stream whose first piece is there: what fails before it is an error with a status, not a torn body. */
async function begun(stream) {
  const reader = stream.getReader();
  const first = await reader.read();
  const pass = (controller, { done, value }) => (done ? controller.close() : controller.enqueue(value));
  return new ReadableStream(
    {
      start: (controller) => pass(controller, first),
      pull: async (controller) => pass(controller, await reader.read()),
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Where a symbolic link leads, as a relative URL; it must not lead out of the root. */
function linked(target, names) {
  let depth = names.length - 1; // of the directory that the link is in
  for (const name of target.split('/')) {
    if (name === '..') depth -= 1;
    else if (name !== '' && name !== '.') depth += 1;
    if (depth < 0 || target.startsWith('/')) throw refused(403, `this link leads out of its root: ${target}`);
  }
  return `./${target.split('/').map(encodeURIComponent).join('/')}`;
}

function immutable(etag, path) {
  return {
    etag,
    'cache-control': IMMUTABLE,
    'x-ipfs-path': `/ipfs/${path.split('/').map(encodeURIComponent).join('/')}`,
  };
}

function disposition(name, filename, download) {
  if (!download && filename === undefined) return {};
  const star = encodeURIComponent(filename ?? name ?? 'file').replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
  return { 'content-disposition': `${download ? 'attachment' : 'inline'}; filename*=UTF-8''${star}` };
}

/** Whether the one who asks has it already. */
function matches(request, etag) {
  const weak = (tag) => tag.trim().replace(/^W\//, '');
  const tags = request.headers.get('if-none-match')?.split(',').map(weak) ?? [];
  return tags.includes(weak(etag)) || tags.includes('*');
}

function redirect(url) {
  return new Response(null, { status: 301, headers: { location: String(url) } });
}

function html(body, headers, status = 200) {
  return new Response(body, { status, headers: { ...headers, 'content-type': 'text/html; charset=utf-8' } });
}

function notHeld(path) {
  return Object.assign(new Error(`${path} is not held here, and nobody may be asked`), { code: 'not-available-offline' });
}

function refused(status, message) {
  return Object.assign(new Error(message), { status });
}
