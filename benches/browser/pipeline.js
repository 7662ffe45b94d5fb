// What the browser gives by itself: a picked file, read by large slices, hashed by workers, and appended to OPFS, by one worker
// that overlaps all three; and the way back.

const PIPELINE = `
  const MIB = 1 << 20;
  const SLICE = 8 * MIB;
  const HASHER = \`onmessage = async ({ data }) => {
    const digest = await crypto.subtle.digest('SHA-256', data);
    postMessage({ digest, data }, [digest, data]);
  };\`;

  onmessage = async ({ data: { file, workers } }) => {
    const url = URL.createObjectURL(new Blob([HASHER], { type: 'text/javascript' }));
    const hashers = Array.from({ length: workers }, () => new Worker(url));
    const waiting = hashers.map(() => []);
    hashers.forEach((hasher, at) => (hasher.onmessage = ({ data }) => waiting[at].shift()(data)));
    let next = 0;
    const spare = [];
    const hash = (piece) => {
      const at = next++ % workers;
      const copy = spare.pop() ?? new Uint8Array(MIB);
      copy.set(piece);
      hashers[at].postMessage(copy.buffer, [copy.buffer]);
      return new Promise((resolve) => waiting[at].push(resolve)).then(({ data }) => {
        spare.push(new Uint8Array(data));
        return piece;
      });
    };
    await Promise.all(hashers.map(() => hash(new Uint8Array(MIB)))); // they have started
    const folder = await navigator.storage.getDirectory();
    const handle = await (await folder.getFileHandle('pipeline', { create: true })).createSyncAccessHandle();
    const start = performance.now();
    let place = 0;
    const read = (at) => file.slice(at, at + SLICE).arrayBuffer();
    let reading = read(0);
    let hashing = [];
    const append = async (all) => {
      for (const hashed of all) {
        const piece = await hashed;
        handle.write(piece, { at: place });
        place += piece.byteLength;
      }
    };
    for (let at = 0; at < file.size; at += SLICE) {
      const slice = await reading;
      if (at + SLICE < file.size) reading = read(at + SLICE);
      const before = hashing;
      hashing = [];
      for (let from = 0; from < slice.byteLength; from += MIB) hashing.push(hash(new Uint8Array(slice, from, MIB)));
      await append(before);
    }
    await append(hashing);
    handle.flush();
    const imported = (performance.now() - start) / 1000;
    const again = performance.now();
    const buffer = new Uint8Array(MIB);
    for (let at = 0; at < place; at += MIB) {
      handle.read(buffer, { at });
      await crypto.subtle.digest('SHA-256', buffer);
    }
    const verified = (performance.now() - again) / 1000;
    handle.close();
    await folder.removeEntry('pipeline');
    hashers.forEach((hasher) => hasher.terminate());
    postMessage({ import: imported, read: verified });
  };
`;

/** Seconds for a file, in with so many hash workers, and back with one thread. */
export async function pipeline(file, workers) {
  const worker = new Worker(URL.createObjectURL(new Blob([PIPELINE], { type: 'text/javascript' })));
  const done = new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
  });
  worker.postMessage({ file, workers });
  return done.finally(() => worker.terminate());
}
