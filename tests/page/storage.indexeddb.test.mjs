// The same over IndexedDB.

process.env.TIER = 'indexeddb';
await import('./storage.test.mjs');
