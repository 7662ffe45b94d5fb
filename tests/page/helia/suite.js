// The contract suite of interface-blockstore over a storage, run by mocha; what came of it is left in `window.results`.

import 'mocha/mocha.js';
import { interfaceBlockstoreTests } from 'interface-blockstore-tests';
import { openStorage } from 'ipfs-kit-storage';
import { blockstore } from 'ipfs-kit-storage/helia';

mocha.setup({ ui: 'bdd', reporter: class {}, timeout: 30_000 });

const open = new Map();
let count = 0;
interfaceBlockstoreTests({
  async setup() {
    const storage = await openStorage({ name: `suite-${count++}` });
    const store = blockstore(storage);
    open.set(store, storage);
    return store;
  },
  async teardown(store) {
    open.get(store).close();
  },
});

const passed = [];
const failed = [];
mocha
  .run()
  .on('pass', (test) => passed.push(test.fullTitle()))
  .on('fail', (test, error) => failed.push(`${test.fullTitle()}: ${error.stack}`))
  .on('end', () => (window.results = { passed, failed }));
window.ready = true;
