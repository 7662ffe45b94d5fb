// The CARs of the gateway, in the order of the DAG.
//
// Most are verified-fetch's own. Three things it does otherwise than the specification are put right here:
// - it leaves out repeated blocks by a filter that now and then takes another block for a repeated one, so it is asked
//   for all of them, and the repeated ones are left out here;
// - of the blocks for `entity-bytes` it loses some where blocks repeat or lie more than one level deep, so these are
//   walked here;
// - where a block is missing it ends the CAR as if that were all; here the connection is broken off.

import { CarBlockIterator, CarWriter } from '@ipld/car';
import { code as DAG_PB, decode } from '@ipld/dag-pb';
import { UnixFS } from 'ipfs-unixfs';
import { exporter } from 'ipfs-unixfs-exporter';

const TYPE = 'application/vnd.ipld.car';

export async function carFor({ gateway, fetch, headers, cid, url, accept, missing }) {
  const option = (name) => url.searchParams.get(`car-${name}`) ?? new RegExp(`;\\s*${name}=(\\w+)`).exec(accept)?.[1];
  if (option('version') === '2') return new Response('only CAR version 1\n', { status: 406 });
  const dups = option('dups') === 'y' ? 'y' : 'n';
  const path = url.pathname.split('/').slice(3).filter(Boolean).join('/');
  const entityBytes = url.searchParams.get('entity-bytes');
  const { lacked } = gateway;
  const complete = () => gateway.lacked === lacked;
  let blocks;
  if (!['block', 'entity', 'all'].includes(url.searchParams.get('dag-scope') ?? 'all')) {
    return new Response('no such dag-scope\n', { status: 400 });
  }
  if (entityBytes && !/^-?\d+:(\*|-?\d+)$/.test(entityBytes)) {
    return new Response(`not a range: ${entityBytes}\n`, { status: 400 });
  }
  if (entityBytes && (url.searchParams.get('dag-scope') ?? 'entity') === 'entity') {
    try {
      blocks = await slice(gateway.store, `${cid}/${decodeURIComponent(path)}`, entityBytes);
    } catch {
      return missing();
    }
  } else {
    headers.set('accept', `${TYPE}; version=1; order=dfs; dups=y`);
    const answered = await fetch(`ipfs://${cid}/${path}${url.search}`);
    if (answered.status === 504) return missing();
    if (answered.status !== 200) return answered;
    // A HEAD has no body.
    blocks = answered.body ? await CarBlockIterator.fromIterable(answered.body) : [];
  }
  return new Response(write(cid, dups === 'y' ? blocks : once(blocks), complete), {
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

/** The blocks on the path to a file, and those in which these bytes of it lie. */
async function slice(store, path, entityBytes) {
  const read = new Map();
  const get = async (cid) => {
    if (!read.has(`${cid}`)) read.set(`${cid}`, { cid, bytes: await whole(store.get(cid)) });
    return read.get(`${cid}`).bytes;
  };
  const entry = await exporter(path, { get: async function* (cid) { yield await get(cid); } });
  if (entry.type === 'file') await walk(entry.cid, 0, span(entry.size, entityBytes), get);
  return read.values();
}

async function walk(cid, start, span, get) {
  const bytes = await get(cid);
  if (cid.code !== DAG_PB) return;
  const { Links, Data } = decode(bytes);
  const node = UnixFS.unmarshal(Data);
  let from = start + (node.data?.length ?? 0);
  for (const [index, { Hash }] of Links.entries()) {
    const to = from + Number(node.blockSizes[index]);
    if (from <= span.last && to > span.first) await walk(Hash, from, span, get);
    from = to;
  }
}

/** `from:to`, each from the end if it is negative; both are included. */
function span(size, entityBytes) {
  const total = Number(size);
  const [first, last] = entityBytes.split(':');
  const place = (text) => (Number(text) < 0 ? total + Number(text) : Number(text));
  return { first: Math.max(0, place(first)), last: last === '*' ? total : place(last) };
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

async function* write(root, blocks, complete) {
  const { writer, out } = CarWriter.create([root]);
  const parts = out[Symbol.asyncIterator]();
  let failed;
  const writing = (async () => {
    // Identity blocks are in their CIDs.
    for await (const block of blocks) if (block.cid.multihash.code !== 0) await writer.put(block);
    if (!complete()) throw new Error('a block is missing');
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

/** Whether all that is below a CID is there. */
export async function has(store, cid) {
  if (cid.multihash.code === 0) return true;
  if (!(await store.has(cid))) return false;
  if (cid.code !== DAG_PB) return true;
  for (const { Hash } of decode(await whole(store.get(cid))).Links) if (!(await has(store, Hash))) return false;
  return true;
}
