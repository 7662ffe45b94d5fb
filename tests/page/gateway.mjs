// A trustless gateway over archives made by Kubo, for the tests: single blocks, and CARs in the order of the DAG, also
// along a path through directories.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { ROOT } from './harness.mjs';

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** A gateway with the blocks of these archives. `faults` are tried in turn, one a request: see `answer`. */
export async function gateway(...archives) {
  const blocks = new Map();
  const roots = [];
  for (const name of archives) {
    const archive = new Uint8Array(await readFile(join(ROOT, 'tests/vectors/car', name)));
    const header = varint(archive, 0);
    let at = header.end + header.value;
    let first = true;
    while (at < archive.length) {
      const part = varint(archive, at);
      const end = part.end + part.value;
      const cid = archive.subarray(part.end, part.end + 36); // version 1, a codec of one byte, sha2-256
      if (first) roots.push(text(cid));
      first = false;
      blocks.set(text(cid), { cid, codec: cid[1], bytes: archive.subarray(part.end + 36, end) });
      at = end;
    }
  }
  const state = { requests: [], fault: undefined };
  const server = createServer((request, response) => answer(request, response, blocks, state));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    roots,
    state,
    close: () => (server.closeAllConnections(), server.close()),
  };
}

function answer(request, response, blocks, state) {
  const url = new URL(request.url, 'http://localhost');
  state.requests.push(request.url);
  response.setHeader('access-control-allow-origin', '*');
  if (state.fault === 'status') return void response.writeHead(500).end();
  if (state.fault === 'silence') return;
  const [root, ...names] = url.pathname.replace('/ipfs/', '').split('/').map(decodeURIComponent);
  if (root === 'bafkqaaa') return void response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end();
  if (!blocks.has(root)) return void response.writeHead(404).end();
  if (url.searchParams.get('format') === 'raw') {
    return void response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(blocks.get(root).bytes);
  }
  response.writeHead(200, { 'content-type': 'application/vnd.ipld.car; version=1; order=dfs; dups=n' });
  response.write(Uint8Array.of(17, 0xa2, 0x65, ...Buffer.from('roots'), 0x80, 0x67, ...Buffer.from('version'), 1));
  const seen = new Set();
  const send = (name, whole = true) => {
    if (seen.has(name)) return;
    seen.add(name);
    const { cid, codec, bytes } = blocks.get(name);
    const wrong = state.fault === 'lie' && seen.size > 1;
    response.write(Uint8Array.from(prefix(cid.length + bytes.length)));
    response.write(cid);
    response.write(wrong ? bytes.map((byte) => byte ^ 1) : bytes);
    if (codec === 0x70 && whole) for (const { hash } of links(bytes)) send(text(hash));
  };
  let at = root;
  for (const name of names) {
    send(at, false);
    const found = [...links(blocks.get(at).bytes)].find((link) => link.name === name);
    if (found === undefined) return void response.end();
    at = text(found.hash);
  }
  send(at);
  response.end();
}

function varint(bytes, at) {
  let value = 0;
  let shift = 1;
  for (;;) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * shift;
    shift *= 128;
    if (byte < 0x80) return { value, end: at };
  }
}

function prefix(value) {
  return value < 128 ? [value] : [(value % 128) | 128, ...prefix(Math.floor(value / 128))];
}

function text(cid) {
  let bits = '';
  for (const byte of cid) bits += byte.toString(2).padStart(8, '0');
  const groups = bits.match(/.{1,5}/g).map((group) => BASE32[parseInt(group.padEnd(5, '0'), 2)]);
  return `b${groups.join('')}`;
}

/** The links of a dag-pb node: field 2 is a link, of which field 1 is the hash, and field 2 the name. */
function* links(node) {
  for (let at = 0; at < node.length; ) {
    const tag = node[at++];
    const { value, end } = varint(node, at);
    if (tag >> 3 === 2) {
      const hash = varint(node, end + 1);
      const behind = hash.end + hash.value;
      const name = varint(node, behind + 1);
      yield {
        hash: node.subarray(hash.end, behind),
        name: Buffer.from(node.subarray(name.end, name.end + name.value)).toString(),
      };
    }
    at = tag & 2 ? end + value : end;
  }
}
