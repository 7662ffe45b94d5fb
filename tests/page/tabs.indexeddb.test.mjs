// The same over IndexedDB.

process.env.TIER = 'indexeddb';
await import('./tabs.test.mjs');
