// What the small servers here share: listening on loopback, and bodies.

import { createServer } from 'node:http';

/** A server on a port of its own; what a handler throws is answered with 500, or ends the connection. */
export async function serve(handle) {
  const server = createServer(async (request, response) => {
    try {
      await handle(request, response);
    } catch (error) {
      console.error(`${request.method} ${request.url}: ${error.stack}`);
      if (response.headersSent) return void response.destroy();
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${error.message}\n`);
    }
  });
  server.requestTimeout = 0;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

/** All of a request's body. */
export async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

export async function json(request) {
  return JSON.parse((await body(request)).toString() || 'null');
}

export function reply(response, value, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
