// Trees on their way in: small files go to the engine many at a time, large ones piece by piece.

import { abortable, call } from './calls.js';
import { feed, inMemory, iterator } from './data.js';
import { InvalidArgumentError } from './errors.js';

/** Files of up to so many bytes go together with others, */
const SMALL_BYTES = 1024 * 1024;
/** up to so many bytes at a time, */
const BATCH_BYTES = 4 * 1024 * 1024;
/** and so many entries. Their Blobs are read all in one, which is quicker, while those before are stored. */
const BATCH_ENTRIES = 512;

/** Stores all entries of a source, and ends the tree; gives up when that fails. */
export async function storeTree(tree, entries, { signal, onProgress }) {
  let source;
  try {
    source = entriesOf(entries);
    await abortable(addAll(tree, source, signal, onProgress), signal);
    signal?.throwIfAborted();
    return await call(tree.finish());
  } catch (error) {
    await tree.abort(); // after a call under way, if any
    throw error;
  } finally {
    // Not awaited: a generator that stalls does not answer.
    (async () => source?.return?.())().catch(() => {});
    tree.free();
  }
}

async function addAll(tree, source, signal, onProgress) {
  const told = { path: undefined, done: 0, files: 0 };
  const tell = (progress) => {
    Object.assign(told, progress);
    onProgress?.({ ...told });
  };
  let batch = [];
  let bytes = 0;
  let adding;

  /** Adds `[path, what, mode, mtime]`s: `what` is bytes, or where a link leads, or undefined, which is a directory. */
  const add = async (entries) => {
    let { path, done, files } = told;
    for (const [name, what] of entries) {
      path = name;
      if (what instanceof Uint8Array) {
        done += what.length;
        files += 1;
      }
    }
    await call(tree.add(entries));
    tell({ path, done, files });
  };
  const flush = async () => {
    const entries = batch;
    batch = [];
    bytes = 0;
    await readBlobs(entries);
    await adding;
    if (entries.length === 0) return;
    adding = add(entries);
    adding.catch(() => {}); // seen when it is awaited
  };

  for (;;) {
    const { done: ended, value } = await source.next();
    signal?.throwIfAborted();
    if (ended) break;
    const { path, content, target, mode, mtime } = checked(value);
    const data = inMemory(content) ?? content;
    const size = data?.length ?? data?.size;
    if (data === undefined) {
      batch.push([path, target, mode, mtime]);
    } else if (size <= SMALL_BYTES && (data instanceof Uint8Array || data instanceof Blob)) {
      // The source may reuse its memory for the next entry.
      batch.push([path, data instanceof Blob ? data : data.slice(), mode, mtime]);
      bytes += size;
    } else {
      await flush();
      await adding;
      await call(tree.beginFile(path, mode, mtime));
      const { done, files } = told;
      const onPiece = (piece) => tell({ path, done: done + piece.done });
      await feed(tree, data, { signal, onProgress: onPiece });
      await call(tree.endFile());
      tell({ path, files: files + 1 });
    }
    if (bytes >= BATCH_BYTES || batch.length >= BATCH_ENTRIES) await flush();
  }
  await flush();
  await adding;
}

function entriesOf(source) {
  if (source?.[Symbol.asyncIterator] || source instanceof ReadableStream) return iterator(source);
  if (source?.[Symbol.iterator]) return source[Symbol.iterator]();
  throw refused('a tree is made of an iterable of entries, of Files, a FileSystemDirectoryHandle or a DataTransfer');
}

/** Puts bytes in the place of Blobs. */
async function readBlobs(entries) {
  const blobs = entries.filter(([, what]) => what instanceof Blob);
  if (blobs.length === 0) return;
  const whole = new Uint8Array(await new Blob(blobs.map(([, blob]) => blob)).arrayBuffer());
  let at = 0;
  for (const entry of blobs) entry[1] = whole.subarray(at, (at += entry[1].size));
}

/** An entry of a tree. What is undefined or null in it is not given. */
function checked(entry) {
  const { path, content, target, mode, mtime, ...others } = entry ?? {};
  if (typeof path !== 'string') throw refused(`an entry of a tree has a path, which is a string, not ${path}`);
  const [other] = Object.keys(others);
  if (other !== undefined) {
    throw refused(`${path}: no ${other} in an entry of a tree; there are path, content, target, mode and mtime`);
  }
  if (target != null && typeof target !== 'string') throw refused(`${path}: a target is a string`);
  if (target != null && content != null) throw refused(`${path}: an entry has content or a target, not both`);
  return { path, content: content ?? undefined, target: target ?? undefined, mode, mtime: mtime?.valueOf() };
}

function refused(message) {
  return new InvalidArgumentError(message, { code: 'invalid-argument' });
}
