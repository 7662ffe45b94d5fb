import { unixfs } from '@helia/unixfs';
import { MemoryBlockstore } from 'blockstore-core';
import { createHeliaLight } from 'helia';
import type { Blockstore } from 'interface-blockstore';
import { openStorage, type Remote } from 'ipfs-kit-storage';
import { blockstore, helia } from 'ipfs-kit-storage/helia';

export async function uses() {
  const node = createHeliaLight();
  const remote: Remote = helia(node, { name: 'mine' });
  const storage = await openStorage({ remotes: ['https://gateway.example', remote, helia(new MemoryBlockstore())] });
  const store: Blockstore = blockstore(storage);
  const app = createHeliaLight({ blockstore: blockstore(storage) });
  await unixfs(app).addBytes(new Uint8Array(1), { profile: 'unixfs-v1-2025' });
  for await (const { cid, bytes } of store.getAll()) for await (const part of bytes) console.log(cid.code, part.length);
  // @ts-expect-error nothing that gives blocks
  helia({ name: 'none' });
  return remote.get('x', { signal: AbortSignal.timeout(1) });
}
