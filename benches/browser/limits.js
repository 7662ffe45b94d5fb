// What the browser gives by itself: WebCrypto in a worker, and IndexedDB with nothing around it.

const MIB = 1024 * 1024;
const PUTS = 8;

const HASHER = `
  onmessage = async () => {
    const bytes = new Uint8Array(${MIB});
    const start = performance.now();
    for (let round = 0; round < 256; round++) await crypto.subtle.digest('SHA-256', bytes);
    postMessage((performance.now() - start) / 1000);
  };
`;

/** Seconds for 256 MiB in pieces of 1 MiB. */
export async function hash() {
  const worker = new Worker(URL.createObjectURL(new Blob([HASHER], { type: 'text/javascript' })));
  const done = new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
  });
  worker.postMessage(undefined);
  return done.finally(() => worker.terminate());
}

/** Seconds to put a file's bytes as Blobs of 1 MiB, and to get them back. Reading the file is not counted. */
export async function putAndGet(file) {
  const opening = indexedDB.open('limits');
  opening.onupgradeneeded = () => opening.result.createObjectStore('blobs');
  const database = await answer(opening);
  let put = 0;
  for (let at = 0; at < file.size; at += PUTS * MIB) {
    const pieces = Array.from({ length: PUTS }, (_, piece) => file.slice(at + piece * MIB, at + (piece + 1) * MIB));
    const buffers = await Promise.all(pieces.map((piece) => piece.arrayBuffer()));
    const start = performance.now();
    const transaction = database.transaction('blobs', 'readwrite', { durability: 'relaxed' });
    buffers.forEach((buffer, piece) => transaction.objectStore('blobs').put(new Blob([buffer]), at / MIB + piece));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    put += performance.now() - start;
  }
  const start = performance.now();
  for (let at = 0; at < file.size / MIB; at += PUTS) {
    const range = IDBKeyRange.bound(at, at + PUTS, false, true);
    const blobs = await answer(database.transaction('blobs').objectStore('blobs').getAll(range));
    await Promise.all(blobs.map((blob) => blob.arrayBuffer()));
  }
  return { put: put / 1000, get: (performance.now() - start) / 1000 };
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
