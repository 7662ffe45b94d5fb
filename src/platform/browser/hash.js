// SHA-256 by WebCrypto. `digest` holds the thread that calls it, so large buffers go to a pool of workers where there
// can be one; without (service workers, strict content security policies) they are hashed here, between other tasks.

const WORKER = `
  postMessage('ready');
  onmessage = async ({ data: { job, buffers } }) => {
    try {
      const digests = await Promise.all(buffers.map((buffer) => crypto.subtle.digest('SHA-256', buffer)));
      postMessage({ job, digests, buffers }, [...digests, ...buffers.map((buffer) => buffer.buffer)]);
    } catch (error) {
      postMessage({ job, error: String(error) });
    }
  };
`;

/** Buffers smaller than this, together, are not worth a message. */
const POOL_BYTES = 256 * 1024;
/** More workers than this gain nothing: the store below is slower than four of them. */
const MAX_WORKERS = 4;

/** Whether WebCrypto is there: not on pages that are not secure contexts. */
export function canDigest() {
  return typeof crypto !== 'undefined' && crypto.subtle !== undefined;
}

/**
 * The digests of parts of the memory, one after the other. `spans` are pairs of start and length. The parts are read
 * before this function first waits.
 */
export async function digestAll(memory, spans) {
  const views = Array.from({ length: spans.length / 2 }, (_, at) => {
    return new Uint8Array(memory.buffer, spans[2 * at], spans[2 * at + 1]);
  });
  const total = views.reduce((sum, view) => sum + view.length, 0);
  // One block alone is done here by the time that a worker would have it.
  const workers = views.length > 1 && total >= POOL_BYTES ? pool() : [];
  const digests = await (workers.length > 0 ? share(workers, views) : inline(views));
  const all = new Uint8Array(32 * digests.length);
  digests.forEach((digest, at) => all.set(new Uint8Array(digest), 32 * at));
  return all;
}

/** `digest` takes its copy of each view before it returns. */
function inline(views) {
  return Promise.all(views.map((view) => crypto.subtle.digest('SHA-256', view)));
}

/** Each part goes to the worker with the fewest bytes to do. */
async function share(workers, views) {
  const groups = workers.map((worker) => ({ worker, places: [], bytes: worker.load }));
  views.forEach((view, at) => {
    const least = groups.reduce((one, other) => (other.bytes < one.bytes ? other : one));
    least.places.push(at);
    least.bytes += view.length;
  });
  const digests = new Array(views.length);
  const jobs = groups.map(async ({ worker, places }) => {
    if (places.length === 0) return;
    const done = await worker.digest(places.map((at) => copy(views[at])));
    places.forEach((at, number) => (digests[at] = done[number]));
  });
  await Promise.all(jobs);
  return digests;
}

/** Buffers that came back from the workers: new memory costs four times what copying into it does. */
const spare = [];
const MAX_SPARE = 16;

function copy(view) {
  const at = spare.findIndex((buffer) => buffer.length === view.length);
  const buffer = at < 0 ? new Uint8Array(view.length) : spare.splice(at, 1)[0];
  buffer.set(view);
  return buffer;
}

let started;

/** The workers that have answered so far; none while they start. */
function pool() {
  started ??= start();
  return started.filter((worker) => worker.ready);
}

function start() {
  if (typeof Worker === 'undefined' || typeof Blob === 'undefined' || !URL.createObjectURL) return [];
  const count = Math.min(MAX_WORKERS, Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 2));
  const url = URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' }));
  try {
    return Array.from({ length: count }, () => new HashWorker(url));
  } catch {
    return [];
  }
}

class HashWorker {
  ready = false;
  /** Bytes given and not yet hashed. */
  load = 0;
  #jobs = new Map();
  #next = 0;
  #worker;

  constructor(url) {
    this.#worker = new Worker(url);
    this.#worker.onmessage = ({ data }) => {
      if (data === 'ready') {
        this.ready = true;
        return;
      }
      const job = this.#jobs.get(data.job);
      this.#jobs.delete(data.job);
      if (data.error !== undefined) return job.reject(new Error(data.error));
      spare.push(...data.buffers.slice(0, MAX_SPARE - spare.length));
      job.resolve(data.digests);
    };
    this.#worker.onerror = (event) => {
      this.ready = false;
      for (const job of this.#jobs.values()) job.reject(new Error(`a hash worker failed: ${event.message}`));
      this.#jobs.clear();
    };
  }

  digest(buffers) {
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    this.load += bytes;
    return new Promise((resolve, reject) => {
      const job = this.#next++;
      this.#jobs.set(job, { resolve, reject });
      this.#worker.postMessage({ job, buffers }, buffers.map((buffer) => buffer.buffer));
    }).finally(() => (this.load -= bytes));
  }
}
