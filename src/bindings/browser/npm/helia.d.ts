/**
 * Helia and this package, both ways. It needs `multiformats`, which every Helia application has; what does not import
 * `ipfs-kit-storage/helia` needs nothing of it.
 *
 * @example A Helia node gives what is not held here
 * const storage = await openStorage({ remotes: [helia(node)] });
 * const bytes = await storage.retrieve(cid);
 *
 * @example A Helia node keeps its blocks here
 * const node = await createHeliaLight({ blockstore: blockstore(storage) }).start();
 */

import type { CID } from 'multiformats/cid';
import type { Remote, Storage } from './index.js';

/** Bytes of one block, whole or in pieces. */
export type BlockBytes = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface AbortOptions {
  signal?: AbortSignal;
}

/** What is needed of a blockstore to make a remote of it; those of `interface-blockstore` have it. */
export interface BlockstoreLike {
  get(cid: CID, options?: AbortOptions): BlockBytes | Promise<BlockBytes>;
  has(cid: CID, options?: AbortOptions): boolean | Promise<boolean>;
  put(cid: CID, bytes: Uint8Array, options?: AbortOptions): unknown;
}

/**
 * A remote for `openStorage`, of a Helia node or of any blockstore. What it gives is proven before it is kept. A node that
 * is not started is `unavailable`; one that has a block neither itself nor from its peers says that it does not have it.
 *
 * @param options.name What the status calls it. Default: `helia`.
 */
export function helia(
  node: BlockstoreLike | { blockstore: BlockstoreLike; status?: string },
  options?: { name?: string },
): Required<Remote>;

/**
 * A storage as a blockstore (`interface-blockstore` 7), for Helia and whatever takes one.
 *
 * Blocks are proven when they are put: wrong bytes are an IntegrityError, and hash functions other than sha2-256, sha2-512,
 * blake3 and identity an InvalidCidError. `get` asks the storage's remotes for what is not held, unless it is told
 * `offline`; `has` does not. What is a part of a stored file or of a pinned root is not deleted: DeniedError. So ends
 * Helia's `gc` on a store that has such, and so does deleting while files are being stored or fetched.
 *
 * Blocks put here belong to no file; to keep them when a stored file that shares them is deleted, pin their root in the
 * storage.
 */
export function blockstore(storage: Storage): Blockstore;

/** Assignable to the `Blockstore` of `interface-blockstore` 7. */
export interface Blockstore {
  has(cid: CID, options?: AbortOptions): Promise<boolean>;
  put(cid: CID, bytes: BlockBytes, options?: AbortOptions): Promise<CID>;
  /** In batches, each of which is stored as a whole. */
  putMany(
    source: Iterable<{ cid: CID; bytes: BlockBytes }> | AsyncIterable<{ cid: CID; bytes: BlockBytes }>,
    options?: AbortOptions,
  ): AsyncGenerator<CID>;
  /** Throws a NotFoundError when nobody has it. */
  get(cid: CID, options?: AbortOptions & { offline?: boolean }): AsyncGenerator<Uint8Array>;
  getMany(
    source: Iterable<CID> | AsyncIterable<CID>,
    options?: AbortOptions & { offline?: boolean },
  ): AsyncGenerator<{ cid: CID; bytes: AsyncGenerator<Uint8Array> }>;
  /** Every block held, under a raw CID: by which codec it was named is not kept. */
  getAll(options?: AbortOptions): AsyncGenerator<{ cid: CID; bytes: AsyncGenerator<Uint8Array> }>;
  delete(cid: CID, options?: AbortOptions): Promise<void>;
  /** In batches, each of which is deleted as a whole or not at all. */
  deleteMany(source: Iterable<CID> | AsyncIterable<CID>, options?: AbortOptions): AsyncGenerator<CID>;
}
