// A trustless gateway by another hand: verified-fetch over blocks in memory, behind Node's http. It fetches nothing.
//
// It follows the specification where verified-fetch departs from it: see `car.mjs`, and 404 for what it has not.

import { setMaxListeners } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CID } from 'multiformats/cid';
import { MemoryBlockstore } from 'blockstore-core';
import { carFor } from './car.mjs';
import { control } from './control.mjs';
import { serve } from './http.mjs';
// By their files: the packages' own entries load libp2p with them, which is not installed.
import { Helia } from './node_modules/helia/dist/src/helia.js';
import { VerifiedFetch } from './node_modules/@helia/verified-fetch/dist/src/verified-fetch.js';

const CAR = 'application/vnd.ipld.car';
const TYPES = { raw: 'application/vnd.ipld.raw', car: CAR, 'ipns-record': 'application/vnd.ipfs.ipns-record' };
// What Kubo's gateway lets a page send and read, and no more: a page that needs more fails with real gateways.
const HEADERS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, OPTIONS',
  'access-control-allow-headers': 'Content-Type, Range, User-Agent, X-Requested-With',
  'access-control-expose-headers':
    'Content-Range, Content-Length, X-Ipfs-Path, X-Ipfs-Roots, X-Chunked-Output, X-Stream-Output',
};

/** Answers `{ url, close }`. */
export async function startGateway() {
  const { handle, stop } = await makeGateway();
  const server = await serve(handle);
  return { url: server.url, close: async () => (await server.close(), await stop()) };
}

/** One for a server that has more to it: answers `{ store, handle, stop }`. */
export async function makeGateway() {
  const store = new MemoryBlockstore();
  const gateway = { store, lacked: 0 };
  const helia = new Helia({
    name: 'gateway',
    version: '1',
    blockstore: store,
    blockBrokers: [nobody(gateway)],
    routers: [nowhere],
  });
  await helia.start();
  gateway.verified = new VerifiedFetch(helia);
  return { store, handle: (request, response) => answer(gateway, request, response), stop: () => helia.stop() };
}

// Without a broker Helia refuses to fetch at all, and without a router it waits for ever.
const nobody = (gateway) => () => {
  const retrieve = async () => {
    gateway.lacked += 1;
    throw new Error('nobody has it');
  };
  return { name: 'nobody', retrieve, createSession: () => ({ name: 'nobody', retrieve }) };
};
const nowhere = () => ({ name: 'nowhere', async *findProviders() {} });

async function answer(gateway, request, response) {
  const url = new URL(request.url, 'http://localhost');
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  if (url.pathname.startsWith('/-/')) return control(gateway, request, response, url);
  if (request.method === 'OPTIONS') return response.writeHead(204).end();
  if (!['GET', 'HEAD'].includes(request.method)) return response.writeHead(405, { allow: 'GET, HEAD, OPTIONS' }).end();
  if (!url.pathname.startsWith('/ipfs/')) return response.writeHead(404).end();
  const gone = new AbortController();
  setMaxListeners(Infinity, gone.signal);
  response.on('close', () => gone.abort());
  const answered = await ask(gateway, request, url, gone.signal);
  response.statusCode = answered.status;
  for (const [name, value] of answered.headers) {
    if (!name.startsWith('access-control-')) response.setHeader(name, value);
  }
  if (request.method === 'HEAD' || !answered.body) return response.end();
  // An error in the middle ends the connection, as it must: what was sent is not all.
  await pipeline(Readable.from(answered.body), response).catch(() => response.destroy());
}

/** What verified-fetch says to a request, or what `car.mjs` makes of it. */
async function ask(gateway, request, url, signal) {
  const { store, verified } = gateway;
  const [, , root] = url.pathname.split('/');
  const missing = () => new Response(`not here: ${url.pathname}\n`, { status: 404 });
  let cid;
  try {
    cid = CID.parse(root);
  } catch {
    return new Response(`no CID: ${root}\n`, { status: 400 });
  }
  const cached = request.headers['cache-control'] === 'only-if-cached';
  if (cid.multihash.code !== 0 && !(await store.has(cid))) return cached ? new Response(null, { status: 412 }) : missing();
  const headers = new Headers();
  for (const name of ['range', 'if-none-match', 'cache-control']) {
    if (request.headers[name]) headers.set(name, request.headers[name]);
  }
  const accept = wanted(request, url);
  headers.set('accept', accept);
  const fetch = (resource) => verified.fetch(resource, { method: request.method, headers, signal, redirect: 'manual' });
  if (accept.startsWith(CAR)) return carFor({ gateway, fetch, headers, cid, url, accept, missing });
  const answered = await fetch(`ipfs://${cid}${url.pathname.slice(6 + root.length)}${url.search}`);
  return answered.status === 504 ? missing() : answered;
}

/** `?format=` wins over Accept, which is the only one that verified-fetch looks at. */
function wanted(request, url) {
  const accept = request.headers.accept ?? '*/*';
  const type = TYPES[url.searchParams.get('format')];
  if (!type || accept.startsWith(type)) return accept;
  return type;
}

