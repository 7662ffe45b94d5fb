// Starts counterparts for Node's tests and benches, each in a process of its own.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('main.mjs', import.meta.url));
const READY = 60_000;

/** `start('gateway')`, `start('rpc')`, `start('routing')`, `start('s3')`, `start('archive')`, `start('cluster')` or `start('faults', url)`: answers its `url`, and `stop()`. */
export async function start(name, target) {
  const child = spawn(process.execPath, [MAIN, name, ...(target ? [target] : [])], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => (child.kill(), reject(new Error(`${name} did not start`))), READY);
    let line = '';
    child.stdout.on('data', (part) => {
      line += part;
      if (!line.includes('\n')) return;
      clearTimeout(late);
      resolve(JSON.parse(line).url);
    });
    child.once('error', reject);
    ended.then((code) => (clearTimeout(late), reject(new Error(`${name} ended with ${code}`))));
  });
  const stop = async () => (child.stdin.end(), await ended);
  return { url, stop, ...helpers(url) };
}

/** Requests whose answers are JSON, as those of the control interface are. */
function helpers(url) {
  const send = (method) => async (path, body) => {
    const plain = body === undefined || body instanceof Uint8Array;
    const response = await fetch(url + path, { method, body: plain ? body : JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
  return { get: send('GET'), post: send('POST'), put: send('PUT'), remove: send('DELETE') };
}
