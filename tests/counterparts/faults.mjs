// A proxy before another server that does what a test tells it to: `PUT /-/fault {"name": ..., ...}`.
//
// `match` (part of the URL), `method` and `times` (requests) limit a fault; see `HEADS`, `BYTES` and `fault-blocks.mjs` for names.

import { request as ask } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import { BLOCKS } from './fault-blocks.mjs';
import { json, reply, serve } from './http.mjs';

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': '*',
  'access-control-expose-headers': '*',
};
// What belongs to a connection, not to a message; and CORS, which is ours.
const HOP = /^(connection|keep-alive|transfer-encoding|trailer|vary|access-control-.*)$/;

/** Answers `{ url, close }`. */
export async function startFaults(target) {
  const state = { target: target.replace(/\/$/, ''), fault: null, delay: 0, requests: [] };
  return serve(async (request, response) => {
    for (const [name, value] of Object.entries(CORS)) response.setHeader(name, value);
    if (request.url.startsWith('/-/')) return control(state, request, response);
    const entry = { method: request.method, url: request.url, accept: request.headers.accept ?? null, sent: 0, done: null };
    state.requests.push(entry);
    count(entry, response);
    if (state.delay > 0) await sleep(state.delay);
    if (request.method === 'OPTIONS') return response.writeHead(204).end();
    const fault = due(state, request);
    const head = HEADS[fault?.name];
    if (head) return head(response, fault, request);
    await forward(state, request, response, fault);
  });
}

/** Takes note of what is sent, and of how it ends: `done` is false if the client left or the fault broke it off. */
function count(entry, response) {
  const { write, end } = response;
  const add = (part) => (entry.sent += typeof part === 'function' || !part ? 0 : Buffer.byteLength(part));
  response.write = (part, ...rest) => (add(part), write.call(response, part, ...rest));
  response.end = (part, ...rest) => (add(part), end.call(response, part, ...rest));
  response.on('close', () => (entry.done = response.writableFinished));
}

async function control(state, request, response) {
  switch (`${request.method} ${request.url.slice(3)}`) {
    case 'PUT fault': {
      const fault = await json(request);
      if (fault && !HEADS[fault.name] && !BYTES[fault.name] && !BLOCKS[fault.name]) {
        return reply(response, { error: `unknown: ${fault.name}` }, 400);
      }
      state.fault = fault;
      return reply(response, state.fault);
    }
    case 'PUT delay':
      return reply(response, (state.delay = Number(await json(request))));
    case 'GET requests':
      return reply(response, { requests: state.requests, sent: state.requests.reduce((sum, { sent }) => sum + sent, 0) });
    case 'DELETE requests':
      state.requests = [];
      return reply(response, []);
    default:
      return request.method === 'OPTIONS' ? response.writeHead(204).end() : reply(response, null, 404);
  }
}

/** The fault that this request meets, which may be its last time. */
function due(state, { method, url }) {
  const { fault } = state;
  if (!fault || !url.includes(fault.match ?? '') || (fault.method ?? method) !== method) return null;
  if (fault.times !== undefined && fault.times-- <= 0) return null;
  return fault;
}

/** Faults that need nothing from the target. */
const HEADS = {
  status(response, { status, retryAfter, body = `status ${status}\n` }) {
    const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
    response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(body);
  },
  /** Before it has read the body, of which it reads no more; and leaves a little later. */
  async early(response, { status }, request) {
    request.pause();
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`status ${status}\n`);
    await sleep(300);
    request.socket.destroy();
  },
  /** `to` without a path means the same path there. */
  redirect(response, { to }, request) {
    const location = new URL(to).pathname === '/' ? new URL(request.url, to).href : to;
    response.writeHead(302, { location }).end();
  },
  'redirect-loop': (response, _, request) => response.writeHead(302, { location: request.url }).end(),
  'wrong-type': (response, { type = 'text/html', body = '<!doctype html><title>Welcome</title>\n' }) =>
    response.writeHead(200, { 'content-type': type }).end(body),
  /** No answer at all. */
  silence: () => {},
  async 'gzip-bomb'(response, { size = 2 ** 30 }, request) {
    const type = request.url.includes('format=raw') ? 'raw' : 'car';
    response.writeHead(200, { 'content-type': `application/vnd.ipld.${type}`, 'content-encoding': 'gzip' });
    await pipeline(Readable.from(zeros(size)), createGzip(), response).catch(() => {});
  },
};

/** Faults of the stream of bytes, whatever it says. They may break it off. */
const BYTES = {
  async *drip(parts, { every = 50, bytes = 1 }) {
    for await (const part of parts) {
      for (let at = 0; at < part.length; at += bytes) {
        yield part.subarray(at, at + bytes);
        await sleep(every);
      }
    }
  },
  /** The head and `after` bytes, then nothing. */
  async *stall(parts, { after = 0 }, response) {
    yield* first(parts, after);
    await once(response, 'close');
  },
  async *reset(parts, { after = 1 }, response) {
    yield* first(parts, after);
    // Lets what was sent arrive.
    await sleep(20);
    response.socket?.resetAndDestroy();
    await once(response, 'close');
  },
  /** All of it, under a Content-Length that is `more` longer. */
  async *'wrong-length'(parts, _, response) {
    yield* parts;
    await sleep(20);
    response.socket?.end();
    await once(response, 'close');
  },
};

/** Parts as long as somebody is there. What never ends must let Node notice now and then that the client has left. */
async function* heard(parts, response) {
  let since = 0;
  for await (const part of parts) {
    if (response.destroyed) return;
    yield part;
    // Empty ones count too: they may be all that comes.
    since += part.length + 1000;
    if (since < 100_000) continue;
    since = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function* zeros(size) {
  const some = Buffer.alloc(2 ** 20);
  for (let left = size; left > 0; left -= some.length) yield some.subarray(0, left);
}

async function* first(parts, count) {
  let left = count;
  for await (const part of parts) {
    if (left <= 0) return;
    yield part.subarray(0, left);
    left -= part.length;
  }
}

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

async function forward(state, request, response, fault) {
  const { host: _, ...headers } = request.headers;
  const upstream = ask(state.target + request.url, { method: request.method, headers, agent: false });
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
  const answer = await new Promise((resolve, reject) => upstream.on('response', resolve).on('error', reject)).catch((error) =>
    response.destroyed ? null : Promise.reject(error),
  );
  if (!answer) return;
  const good = answer.statusCode >= 200 && answer.statusCode <= 202;
  const kept = Object.entries(answer.headers).filter(([name]) => !HOP.test(name));
  const sent = Object.fromEntries(kept);
  if (fault && good) delete sent['content-length'];
  let parts = answer;
  if (fault && good) {
    const isCar = /vnd\.ipld\.car/.test(answer.headers['content-type']) || request.url.startsWith('/api/v0/dag/export');
    if (fault.name === 'wrong-length') {
      const all = Buffer.concat(await answer.toArray());
      sent['content-length'] = all.length + (fault.more ?? 1000);
      parts = [all];
    }
    parts = BYTES[fault.name]?.(parts, fault, response) ?? BLOCKS[fault.name](parts, fault, isCar);
  }
  response.writeHead(answer.statusCode, sent);
  response.flushHeaders();
  // If the client leaves there is nobody to tell; if the target breaks off, so do we.
  await pipeline(Readable.from(heard(parts, response), { highWaterMark: 1 }), response).catch(() => response.destroy());
}
