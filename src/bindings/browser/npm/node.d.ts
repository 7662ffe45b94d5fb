/**
 * Local-first, content-addressed storage for IPFS applications, in Node: a store is a folder.
 *
 * @example
 * const storage = await openStorage({ directory: './data' });
 * const { cid } = await storage.store(await fs.openAsBlob('video.mp4'), { pin: true });
 */

import type { OpenOptions as BrowserOptions, Storage } from './index.js';

export * from './index.js';

export interface OpenOptions extends Omit<BrowserOptions, 'tier'> {
  /**
   * The folder of the store, in the format of the WASI component. One process at a time may have it open: LockedError. One
   * that was killed has it for ten seconds more. Default: a folder called `name`.
   */
  directory?: string;
}

/** Opens a storage, or makes it. */
export function openStorage(options?: OpenOptions): Promise<Storage>;

/** The storage that all callers in this process share; the first call's options count. */
export function getStorage(options?: OpenOptions): Promise<Storage>;
