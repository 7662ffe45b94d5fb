// How a test fills a gateway and looks into it: requests under `/-/`, on the gateway's own port.

import { createCipheriv, createHash } from 'node:crypto';
import { CarBlockIterator } from '@ipld/car';
import { exporter } from 'ipfs-unixfs-exporter';
import { importer } from 'ipfs-unixfs-importer';
import { fixedSize } from 'ipfs-unixfs-importer/chunker';
import { CID } from 'multiformats/cid';
import { body, json, reply } from './http.mjs';

const MIB = 1_048_576;

export async function control({ store, verified }, request, response, url) {
  const [, , what, ...path] = url.pathname.split('/');
  const query = Object.fromEntries(url.searchParams);
  switch (request.method === 'PUT' ? `POST ${what}` : `${request.method} ${what}`) {
    case 'POST file':
      return reply(response, await file(store, [await body(request)], query));
    case 'POST random': {
      const hash = createHash('sha256');
      const parts = noise(Number(query.size), Number(query.seed ?? 1), hash);
      return reply(response, { ...(await file(store, parts, query)), sha256: hash.digest('hex') });
    }
    case 'POST tree':
      return reply(response, await tree(store, await json(request), query));
    case 'POST car':
      return reply(response, await car(store, request));
    case 'GET cat':
      response.setHeader('content-type', 'application/octet-stream');
      return cat(store, decodeURIComponent(path.join('/')), response);
    case 'DELETE block':
      await store.delete(CID.parse(path[0]));
      verified.urlResolver.blockstoreSessions.clear();
      return response.writeHead(204).end();
    default:
      return reply(response, { error: `unknown: ${request.method} ${url.pathname}` }, 404);
  }
}

/** A file by itself, or in a directory if it has a name. */
async function file(store, content, { name, ...query }) {
  const entries = await imported(store, [{ path: name || undefined, content }], query, Boolean(name));
  const cid = entries.at(-1).cid.toString();
  return name ? { cid, file: entries[0].cid.toString() } : { cid };
}

async function tree(store, files, query) {
  const sources = files.map(({ path, base64, size, seed }) => ({
    path,
    content: base64 === undefined ? noise(size, seed ?? 1) : [Buffer.from(base64, 'base64')],
  }));
  const entries = await imported(store, sources, query, true);
  return { cid: entries.at(-1).cid.toString() };
}

async function imported(store, sources, { profile = 'unixfs-v1-2025', chunk }, wrapWithDirectory) {
  const chunker = chunk ? { chunker: fixedSize({ chunkSize: Number(chunk) }) } : {};
  const entries = [];
  for await (const entry of importer(sources, store, { profile, wrapWithDirectory, ...chunker })) entries.push(entry);
  return entries;
}

/** Takes the blocks of a CAR. */
export async function car(store, request) {
  const blocks = await CarBlockIterator.fromIterable(request);
  let count = 0;
  for await (const { cid, bytes } of blocks) {
    await store.put(cid, bytes);
    count += 1;
  }
  return { roots: (await blocks.getRoots()).map(String), blocks: count };
}

async function cat(store, path, response) {
  let entry;
  try {
    entry = await exporter(path, store);
  } catch (error) {
    return reply(response, { error: error.message }, 404);
  }
  for await (const part of entry.content()) response.write(part);
  response.end();
}

/** Bytes without a pattern, the same for the same seed. */
function* noise(size, seed, hash) {
  const key = createHash('sha256').update(`noise ${seed}`).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  for (let left = size; left > 0; left -= MIB) {
    const part = cipher.update(zeros.subarray(0, Math.min(left, MIB)));
    hash?.update(part);
    yield part;
  }
}
