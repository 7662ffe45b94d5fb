// The RPC of Kubo's shape, as js-ipfs has it, over a repository of its own that goes with the process. It knows no peer.

import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'ipfs-core';
import { HttpApi } from 'ipfs-http-server';

const CONFIG = {
  Addresses: { Swarm: [], Announce: [], NoAnnounce: [], Delegates: [], API: '/ip4/127.0.0.1/tcp/0', Gateway: [], RPC: [] },
  // A page may call it, as with Kubo whose owner has allowed that.
  API: { HTTPHeaders: { 'Access-Control-Allow-Origin': ['*'] } },
  Bootstrap: [],
  Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } },
  Pubsub: { Enabled: false },
  Routing: { Type: 'none' },
  Swarm: { DisableNatPortMap: true },
};

/** Answers `{ url, close }`. */
export async function startRpc() {
  const repository = await mkdtemp(join(tmpdir(), 'counterpart-rpc-'));
  process.on('exit', () => rmSync(repository, { recursive: true, force: true }));
  const ipfs = await create({
    repo: join(repository, 'repo'),
    config: CONFIG,
    offline: true,
    silent: true,
    preload: { enabled: false },
    init: { emptyRepo: true, algorithm: 'Ed25519' },
  });
  const server = new HttpApi(ipfs);
  await server.start();
  const [listening] = server._apiServers;
  // js-ipfs refuses a block whose request is over 1 MiB, Kubo one that is over 2 MiB.
  const { settings } = listening.table().find(({ path }) => path === '/api/v0/block/put');
  settings.payload.maxBytes = 2 * 2 ** 20 + 4096;
  return {
    url: `http://127.0.0.1:${listening.info.port}`,
    close: async () => {
      await server.stop();
      await ipfs.stop();
    },
  };
}
