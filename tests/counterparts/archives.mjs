// Archives by other hands: @ipld/car reads and writes them, @helia/car imports and exports them.

import { CarIndexer, CarReader, CarWriter } from '@ipld/car';
import * as dagPb from '@ipld/dag-pb';
import { MemoryBlockstore } from 'blockstore-core';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { sha256 } from 'multiformats/hashes/sha2';
import { whole } from './car.mjs';

// Node has it from 22 on.
Promise.withResolvers ??= function () {
  const deferred = {};
  deferred.promise = new this((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
};

/** What @ipld/car finds in an archive: its version, roots and CIDs as text, and blocks whose bytes are not theirs. */
export async function inspect(bytes) {
  const reader = await CarReader.fromBytes(bytes);
  const found = { version: reader.version, roots: (await reader.getRoots()).map(String), cids: [], wrong: [] };
  for await (const { cid, bytes } of reader.blocks()) {
    found.cids.push(String(cid));
    const { digest } = await sha256.digest(bytes);
    if (!Buffer.from(digest).equals(Buffer.from(cid.multihash.digest))) found.wrong.push(String(cid));
  }
  return found;
}

/** Of an archive of version 1, by the text of each CID, where @ipld/car says that its section begins. */
export async function offsets(bytes) {
  const found = {};
  for await (const { cid, offset } of await CarIndexer.fromBytes(bytes)) found[String(cid)] = offset;
  return found;
}

/** An archive by @ipld/car, of the blocks in another, the last first. */
export async function reversed(bytes) {
  const reader = await CarReader.fromBytes(bytes);
  const blocks = [];
  for await (const block of reader.blocks()) blocks.unshift(block);
  const { writer, out } = CarWriter.create(await reader.getRoots());
  const written = whole(out);
  for (const block of blocks) await writer.put(block);
  await writer.close();
  return written;
}

/** An archive after it went through a blockstore by @helia/car. */
export async function throughHelia(bytes) {
  // After the line above: the packages look for it when they are loaded.
  const { car } = await import('@helia/car');
  const blockstore = new MemoryBlockstore();
  const codecs = { [dagPb.code]: dagPb, [raw.code]: raw };
  const log = Object.assign(() => {}, { error: () => {}, trace: () => {}, newScope: () => log });
  const helia = { blockstore, getCodec: async (code) => codecs[code], logger: { forComponent: () => log } };
  const reader = await CarReader.fromBytes(bytes);
  await car(helia).import(reader);
  return whole(car(helia).export(CID.asCID((await reader.getRoots())[0])));
}
