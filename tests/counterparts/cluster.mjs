// The REST API of IPFS Cluster, as far as data are added and pinned by it, with a trustless gateway to what its peers have.
//
// There are three peers. Two of them are to have each pin, and share one store. What is looked after goes on by one status: from
// `pin_queued` over `pinning` to `pinned`, or to `pin_error` where a block is missing. The second is one behind the first.

import { Readable } from 'node:stream';
import { CID } from 'multiformats/cid';
import { has } from './car.mjs';
import { car } from './control.mjs';
import { makeGateway } from './gateway.mjs';
import { body, json, reply, serve } from './http.mjs';

/** What requests prove themselves with. */
export const TOKEN = 'clusters-known-to-tests';
export const USER = 'tester';
export const PASSWORD = 'passwords-known-to-tests';
const KNOWN = [`Bearer ${TOKEN}`, `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`];

const PEERS = ['first', 'second'];
const NEXT = { pin_queued: 'pinning', pinning: 'pinned' };

/** Answers `{ url, close }`. */
export async function startCluster() {
  const gateway = await makeGateway();
  const cluster = { store: gateway.store, pins: new Map(), ways: {}, requests: [] };
  const server = await serve(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const [, top, hash, what] = url.pathname.split('/');
    if (top === '-') {
      switch (`${request.method} ${hash}`) {
        case 'PUT ways':
          cluster.ways = (await json(request)) ?? {};
          return response.writeHead(204).end();
        case 'GET pins':
          return reply(response, [...cluster.pins.values()]);
        case 'DELETE pins':
          cluster.pins.clear();
          return response.writeHead(204).end();
        case 'GET requests':
          return reply(response, { requests: cluster.requests });
      }
    }
    if (top === '-' || top === 'ipfs') return gateway.handle(request, response);
    cluster.requests.push({ method: request.method, url: request.url });
    // It says back what it was told, as no server should.
    const { authorization } = request.headers;
    if (!KNOWN.includes(authorization)) return await body(request), fail(response, 401, `Unauthorized: ${authorization}`);
    let cid;
    try {
      cid = hash && CID.parse(hash);
    } catch (error) {
      return fail(response, 400, `error decoding Cid: ${error.message}`);
    }
    switch (`${request.method} /${top}${hash ? '/{cid}' : ''}${what ? `/${what}` : ''}`) {
      case 'GET /id':
        return reply(response, { id: 'first', peername: 'first', version: '1.1.4' });
      case 'POST /add':
        return add(cluster, url.searchParams, request, response);
      case 'POST /pins/{cid}':
        return reply(response, pin(cluster, cid, url.searchParams.get('name') ?? ''));
      case 'GET /pins/{cid}':
        await moved(cluster, cid);
        return reply(response, status(cluster, cid));
      case 'POST /pins/{cid}/recover':
        for (const peer of Object.values(cluster.pins.get(`${cid}`)?.peers ?? {})) if (peer.error) restart(peer);
        return reply(response, status(cluster, cid));
      case 'DELETE /pins/{cid}': {
        const gone = cluster.pins.get(`${cid}`);
        if (!cluster.pins.delete(`${cid}`)) return fail(response, 404, 'pin is not part of the pinset');
        return reply(response, allocation(gone));
      }
      case 'GET /allocations/{cid}': {
        const found = cluster.pins.get(`${cid}`);
        return found ? reply(response, allocation(found)) : fail(response, 404, 'pin is not part of the pinset');
      }
      default:
        return fail(response, 404, 'not found');
    }
  });
  return { url: server.url, close: async () => (await server.close(), await gateway.stop()) };
}

const fail = (response, code, message) => reply(response, { code, message }, code);
const restart = (peer) => Object.assign(peer, { status: 'pin_queued', error: '' });

/** A form with one CAR of one root. In a stream what fails is told in a trailer, under status 200. */
async function add(cluster, query, request, response) {
  const { headers } = request;
  if (!/^multipart\/form-data/.test(headers['content-type'])) return fail(response, 400, 'request Content-Type isn\'t multipart/form-data');
  const flag = (name, none) => (query.get(name) ?? none) === 'true';
  try {
    if (query.get('format') !== 'car') throw new Error('here only CARs are added');
    const form = await new Response(await body(request), { headers: { 'content-type': headers['content-type'] } }).formData();
    const archive = Buffer.from(await form.get('file').arrayBuffer());
    // It says yes, and keeps nothing.
    const store = cluster.ways.loses ? { put: () => {} } : cluster.store;
    const { roots } = await car(store, Readable.from([archive]));
    if (roots.length !== 1) throw new Error('only CAR files with a single root are supported');
    if (!flag('no-pin', 'false')) pin(cluster, CID.parse(roots[0]), query.get('name') ?? '');
    const added = { name: 'blocks', cid: roots[0], bytes: archive.length, allocations: PEERS };
    if (!flag('stream-channels', 'true')) return reply(response, [added]);
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(added)}\n`);
  } catch (error) {
    if (!flag('stream-channels', 'true')) return fail(response, 500, error.message);
    response.writeHead(200, { 'content-type': 'application/json', trailer: 'X-Stream-Error' });
    response.addTrailers({ 'X-Stream-Error': error.message });
    response.end();
  }
}

/** What is pinned already is left as it is, but for its name. */
function pin({ pins }, cid, name) {
  const peers = pins.get(`${cid}`)?.peers ?? Object.fromEntries(PEERS.map((peer) => [peer, { status: 'pin_queued', error: '' }]));
  const made = { cid: `${cid}`, name, peers };
  pins.set(`${cid}`, made);
  return allocation(made);
}

const allocation = ({ cid, name }) => ({ cid, name, mode: 'recursive', type: 'pin', max_depth: -1, allocations: PEERS, metadata: null });

async function moved({ store, pins, ways }, cid) {
  const peers = pins.get(`${cid}`)?.peers;
  if (!peers) return;
  const before = peers.first.status;
  for (const [name, peer] of Object.entries(peers)) {
    const told = ways.status?.[name];
    if (!told && name === 'second' && before === 'pin_queued') continue;
    const next = told ?? NEXT[peer.status] ?? peer.status;
    const lacks = next === 'pinned' && peer.status !== 'pinned' && !told && !(await has(store, cid));
    peer.status = lacks ? 'pin_error' : next;
    peer.error = peer.status.endsWith('_error') ? 'context deadline exceeded' : '';
  }
}

/** Of what is not pinned all peers say so. */
function status({ pins }, cid) {
  const found = pins.get(`${cid}`);
  const one = (name, { status, error }) => ({ peername: name, ipfs_peer_id: `ipfs-${name}`, status, timestamp: new Date().toISOString(), error, attempt_count: 0 });
  const others = { status: found ? 'remote' : 'unpinned', error: '' };
  const all = [...PEERS, 'third'].map((name) => [`id-${name}`, one(name, found?.peers[name] ?? others)]);
  return { cid: `${cid}`, name: found?.name ?? '', allocations: PEERS, origins: [], metadata: null, peer_map: Object.fromEntries(all) };
}
