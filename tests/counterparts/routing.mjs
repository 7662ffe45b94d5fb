// A delegated router (IPFS specification `routing/http-routing-v1`) that knows what it was told.

import { CID } from 'multiformats/cid';
import { json, reply, serve } from './http.mjs';

const NDJSON = 'application/x-ndjson';
// What every answer holds besides, for clients to pass over: a schema and a field that nobody knows.
const NOISE = { Schema: 'of-tomorrow', Whatever: { Nested: [1, null] } };

/** Answers `{ url, close }`. */
export async function startRouting() {
  const providers = new Map();
  let ways = {};
  const requests = [];
  return serve(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const what = `${request.method} ${url.pathname}`;
    if (what === 'PUT /-/providers') {
      const told = await json(request);
      providers.set(key(told.cid), told.providers);
      return response.writeHead(204).end();
    }
    if (what === 'PUT /-/ways') {
      ways = (await json(request)) ?? {};
      return response.writeHead(204).end();
    }
    if (what === 'GET /-/requests') return reply(response, { requests });
    requests.push({ method: request.method, url: request.url, accept: request.headers.accept });
    response.setHeader('access-control-allow-origin', '*');
    const cid = /^GET \/routing\/v1\/providers\/(\w+)$/.exec(what)?.[1];
    if (!cid) return reply(response, { error: 'no such path' }, 501);
    if (ways.status) return reply(response, { error: 'as told' }, ways.status);
    try {
      return answer(request, response, filtered(providers.get(key(cid)), url.searchParams, ways), ways);
    } catch {
      return reply(response, { error: `no CID: ${cid}` }, 422);
    }
  });
}

/** Providers are known by the multihash. */
const key = (cid) => Buffer.from(CID.parse(cid).multihash.bytes).toString('hex');

function answer(request, response, found, { form, empty }) {
  // Kubo's own server used to answer 404 where nothing is found, and newer ones an empty list.
  if (!found?.length && !empty) return reply(response, { error: 'none' }, 404);
  const records = [...(found ?? []).map((one) => ({ ...one, Extra: 'field' })), NOISE];
  const lines = form ? form === 'ndjson' : (request.headers.accept ?? '').includes(NDJSON);
  response.setHeader('vary', 'accept');
  if (!lines) return reply(response, found ? { Providers: records, Extra: 1 } : { Providers: null });
  response.writeHead(200, { 'content-type': NDJSON });
  for (const record of found ? records : []) response.write(`${JSON.stringify(record)}\n`);
  response.end();
}

/** IPIP-484: those with one of these protocols, and of their addresses those of these kinds. */
function filtered(found, query, { unfiltered }) {
  const wanted = (name) => query.get(name)?.toLowerCase().split(',').filter(Boolean) ?? [];
  const [protocols, kinds] = [wanted('filter-protocols'), wanted('filter-addrs')];
  if (unfiltered || !found) return found;
  const speaks = ({ Protocols = [] }) =>
    !protocols.length || (Protocols.length ? Protocols : ['unknown']).some((one) => protocols.includes(one));
  const reached = (addr) => !kinds.length || kinds.some((kind) => addr.split('/').includes(kind));
  const near = (one) => ({ ...one, Addrs: (one.Addrs ?? []).filter(reached) });
  return found.filter(speaks).map(near).filter(({ Addrs }) => !kinds.length || Addrs.length);
}
