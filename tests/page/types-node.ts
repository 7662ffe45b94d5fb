// The types of the package in Node.

import { CorruptError, getStorage, openStorage, type OpenOptions, type Storage } from '../../src/bindings/browser/npm/node.js';

const options: OpenOptions = { directory: 'x', durability: 'relaxed' };
export const storage: Storage = await openStorage(options);
export const shared: Storage = await getStorage({ directory: 'y' });
export const error = new CorruptError('x');

// @ts-expect-error a folder is the only place
await openStorage({ tier: 'opfs' });
