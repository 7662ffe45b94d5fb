// The CARs of the gateway, in the order of the DAG.
//
// Most are verified-fetch's own. Two things it does otherwise than the specification are put right here:
// - it leaves out repeated blocks by a filter that now and then takes another block for a repeated one, so it is asked
//   for all of them, and the repeated ones are left out here;
// - of the blocks for `entity-bytes` it loses some where blocks repeat or lie more than one level deep, so these are
//   what the UnixFS exporter reads.

import { CarBlockIterator, CarWriter } from '@ipld/car';
import { exporter } from 'ipfs-unixfs-exporter';

const TYPE = 'application/vnd.ipld.car';

export async function carFor({ store, fetch, headers, cid, url, accept, missing }) {
  const option = (name) => url.searchParams.get(`car-${name}`) ?? new RegExp(`;\\s*${name}=(\\w+)`).exec(accept)?.[1];
  if (option('version') === '2') return new Response('only CAR version 1\n', { status: 406 });
  const dups = option('dups') === 'y' ? 'y' : 'n';
  const path = url.pathname.split('/').slice(3).filter(Boolean).join('/');
  const entityBytes = url.searchParams.get('entity-bytes');
  let blocks;
  if (entityBytes && !/^-?\d+:(\*|-?\d+)$/.test(entityBytes)) {
    return new Response(`not a range: ${entityBytes}\n`, { status: 400 });
  }
  if (entityBytes && (url.searchParams.get('dag-scope') ?? 'entity') === 'entity') {
    try {
      blocks = await slice(store, `${cid}/${path}`, entityBytes);
    } catch {
      return missing();
    }
  } else {
    headers.set('accept', `${TYPE}; version=1; order=dfs; dups=y`);
    const answered = await fetch(`ipfs://${cid}/${path}${url.search}`);
    if (answered.status === 504) return missing();
    if (answered.status !== 200 || !answered.body) return answered;
    blocks = await CarBlockIterator.fromIterable(answered.body);
  }
  return new Response(write(cid, dups === 'y' ? blocks : once(blocks)), {
    headers: {
      'content-type': `${TYPE}; version=1; order=dfs; dups=${dups}`,
      'content-disposition': `attachment; filename="${cid}.car"`,
      'x-content-type-options': 'nosniff',
      'x-ipfs-path': url.pathname,
      'cache-control': 'public, max-age=29030400, immutable',
      etag: `W/"${cid}.car.${dups}.${Buffer.from(`${path}?${url.search}`).toString('base64url')}"`,
      'accept-ranges': 'none',
    },
  });
}

/** The blocks that reading these bytes of a file takes, and those on the path to it. */
async function slice(store, path, entityBytes) {
  const read = [];
  const recording = {
    async *get(cid, options) {
      const bytes = await whole(store.get(cid, options));
      read.push({ cid, bytes });
      yield bytes;
    },
  };
  const entry = await exporter(path, recording);
  if (entry.type === 'file') {
    const { offset, length } = span(entry.size, entityBytes);
    // One at a time, for the order of the DAG.
    for await (const _ of entry.content({ offset, length, blockReadConcurrency: 1 })) void _;
  }
  return read;
}

/** `from:to`, both from the end if negative, `to` included. */
function span(size, entityBytes) {
  const total = Number(size);
  const [first, last] = entityBytes.split(':');
  const place = (text) => Math.max(0, Number(text) < 0 ? total + Number(text) : Number(text));
  const offset = Math.min(place(first), total);
  const end = last === '*' ? total : Math.min(place(last) + 1, total);
  return { offset, length: Math.max(0, end - offset) };
}

async function* once(blocks) {
  const seen = new Set();
  for await (const block of blocks) {
    const cid = block.cid.toString();
    if (seen.has(cid)) continue;
    seen.add(cid);
    yield block;
  }
}

async function* write(root, blocks) {
  const { writer, out } = CarWriter.create([root]);
  const parts = out[Symbol.asyncIterator]();
  let failed;
  const writing = (async () => {
    // Identity blocks are in their CIDs.
    for await (const block of blocks) if (block.cid.multihash.code !== 0) await writer.put(block);
  })().catch((error) => (failed = error));
  writing.finally(() => writer.close());
  for (;;) {
    const { done, value } = await parts.next();
    if (done) break;
    yield value;
  }
  if (failed) throw failed;
}

/** All of what a blockstore gives for a block: bytes, or parts of them. */
export async function whole(source) {
  const parts = [];
  for await (const part of source) parts.push(part);
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}
