// An archive service: CARs are uploaded to it, pins of them requested, and it gives back what it was given.
//
// The pinning service is `mock-ipfs-pinning-service`, the gateway that of `gateway.mjs`. Ours are the uploads, and what moves
// requests along: one that is looked after goes from `queued` over `pinning` to `pinned`, or `failed` where a block is missing.

import { CID } from 'multiformats/cid';
import { has } from './car.mjs';
import { car } from './control.mjs';
import { makeGateway } from './gateway.mjs';
import { body, json, reply, serve } from './http.mjs';
import pinning from './pinning/node_modules/mock-ipfs-pinning-service/index.js';

/** What uploads, and pin requests, prove themselves with. */
export const TOKENS = { upload: 'uploads-known-to-tests', pins: 'pins-known-to-tests' };

/** What it lets pages of any origin upload, and no more. */
const UPLOADS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'POST, PUT',
  'access-control-allow-headers': 'Authorization, Content-Type',
};

const NEXT = { queued: 'pinning', pinning: 'pinned' };

/** Answers `{ url, close }`. */
export async function startArchive() {
  const gateway = await makeGateway();
  const app = await pinning.setup({ token: TOKENS.pins });
  const service = { store: gateway.store, app, ways: {}, requests: [] };
  const server = await serve(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (!pathname.startsWith('/-/')) service.requests.push({ method: request.method, url: request.url });
    if (pathname === '/upload') return upload(service, request, response);
    if (pathname.startsWith('/pins')) {
      if (request.method === 'GET') await moved(service, decodeURIComponent(pathname.slice('/pins/'.length)));
      return app(request, response);
    }
    switch (`${request.method} ${pathname}`) {
      case 'PUT /-/ways':
        service.ways = (await json(request)) ?? {};
        return response.writeHead(204).end();
      case 'GET /-/pins':
        return reply(response, [...app.locals.state.pins.values()]);
      case 'DELETE /-/pins':
        app.locals.state = { ...app.locals.state, pins: new Map() };
        return response.writeHead(204).end();
      case 'GET /-/requests':
        return reply(response, { requests: service.requests });
      default:
        return gateway.handle(request, response);
    }
  });
  return { url: server.url, close: async () => (await server.close(), await gateway.stop()) };
}

async function upload({ store, ways }, request, response) {
  for (const [name, value] of Object.entries(UPLOADS)) response.setHeader(name, value);
  if (request.method === 'OPTIONS') return response.writeHead(204).end();
  if (!['POST', 'PUT'].includes(request.method)) return response.writeHead(405).end();
  if (request.headers.authorization !== `Bearer ${ways.token ?? TOKENS.upload}`) {
    await body(request);
    const told = request.headers.authorization;
    return reply(response, { error: { reason: 'UNAUTHORIZED', details: `nobody has the token ${told}` } }, 401);
  }
  if (request.headers['content-type'] !== 'application/vnd.ipld.car') return response.writeHead(415).end();
  // It says yes, and keeps nothing.
  if (ways.loses) return await body(request), reply(response, { cid: null });
  const { roots } = await car(store, request);
  reply(response, { cid: roots[0] });
}

/** Moves a request along, of which somebody asks how far it has come. */
async function moved({ store, app, ways }, id) {
  const { state } = app.locals;
  const [key, pin] = [...state.pins].find(([, { requestid }]) => requestid === id) ?? [];
  if (!pin) return;
  let status = ways.status ?? NEXT[pin.status] ?? pin.status;
  if (status === 'pinned' && pin.status !== 'pinned' && !ways.status && !(await has(store, CID.parse(key)))) status = 'failed';
  const info = status === 'failed' ? { info: { status_details: 'a block of it is nowhere to be found' } } : {};
  app.locals.state = { ...state, pins: new Map([...state.pins, [key, { ...pin, status, ...info }]]) };
}
