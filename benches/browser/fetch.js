// The page that fetches, by one engine at a time.

const ENGINES = {
  ours: async (name, gateway) => (await import('./ours.js')).open(name, 'relaxed', [gateway]),
  helia: async (name, gateway) => (await import('./helia.js')).open(name, gateway),
  plain: async (_, gateway) => ({
    fetchFile: (path) => drain(`${gateway}/ipfs/${path}`),
    fetchDirectory: (path) => drain(`${gateway}/ipfs/${path}`),
  }),
};

let stores;

window.bench = {
  /** Opens a store for each step, and fetches something into one of them, so that nothing is done for the first time later. */
  async open(name, gateway, steps, warm) {
    stores = {};
    for (const step of ['warm', ...steps]) stores[step] = await ENGINES[name](step, gateway);
    for (const [step, what] of Object.entries(warm)) await stores.warm[step](what);
  },

  /** Seconds for `fetchFile` or `fetchDirectory` into the store of this step, and the bytes that were read. */
  async fetch(step, how, what) {
    const start = performance.now();
    const bytes = await stores[step][how](what);
    return { seconds: (performance.now() - start) / 1000, bytes };
  },

  /** Bytes in the store of this step; undefined if it has none, or does not say. */
  held: (step) => stores[step].held?.(),
};

async function drain(url) {
  const { body, status } = await fetch(url, { cache: 'no-store' });
  if (status !== 200) throw new Error(`${status} for ${url}`);
  let bytes = 0;
  for (const reader = body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return bytes;
    bytes += value.length;
  }
}
