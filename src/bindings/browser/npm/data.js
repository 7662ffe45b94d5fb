// What can be stored, in one or piece by piece.

import { abortable, call } from './calls.js';
import { InvalidArgumentError } from './errors.js';

/** Read from a File or Blob at a time: large reads are several times faster than small ones. */
export const SLICE_BYTES = 8 * 1024 * 1024;

/** Writes all pieces of what is to be stored, and ends it; gives up when that fails. */
export async function write(writer, data, { signal, onProgress }) {
  const bytes = inMemory(data);
  const total = bytes?.length ?? data?.size;
  try {
    await feed(writer, bytes ?? data, { signal, onProgress, total });
    return await call(writer.finish());
  } catch (error) {
    await writer.abort(); // after a write under way, if any: then nothing borrows the writer
    throw error;
  } finally {
    writer.free();
  }
}

/** The bytes of what is in memory; undefined for what is to be read. */
export function inMemory(data) {
  if (typeof data === 'string') return new TextEncoder().encode(data);
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return undefined;
}

/**
 * Has a writer take what is to be stored, without the first `done` bytes: while it takes a piece, the next one is read. One
 * that is in a worker reads a File or Blob there.
 */
export async function feed(writer, data, { signal, onProgress, total, done = 0 }) {
  if (data instanceof Blob && writer.feed) return abortable(writer.feed(data, { signal, onProgress, total, done }), signal);
  const source = pieces(data, signal, done);
  try {
    let next = source.next();
    for (;;) {
      const { done: ended, value: piece } = await next;
      if (ended) break;
      const { length } = piece;
      const writing = call(writer.write(piece)); // has its copy: the source may reuse the memory for the next
      next = source.next();
      next.catch(() => {}); // seen when it is awaited
      await abortable(writing, signal);
      done += length;
      onProgress?.({ done, total });
    }
    signal?.throwIfAborted();
  } finally {
    source.return().catch(() => {});
  }
}

/** What is to be stored, piece by piece, without so many bytes at its beginning. */
export async function* pieces(data, signal, skip = 0) {
  if (skip > 0 && (data instanceof Uint8Array || data instanceof Blob)) {
    yield* pieces(data instanceof Blob ? data.slice(skip) : data.subarray(skip), signal);
    return;
  }
  if (skip > 0) {
    for await (const piece of pieces(data, signal)) {
      if (piece.length > skip) yield piece.subarray(skip);
      skip = Math.max(0, skip - piece.length);
    }
    return;
  }
  if (data instanceof Uint8Array) {
    for (let at = 0; at < data.length; at += SLICE_BYTES) yield data.subarray(at, at + SLICE_BYTES);
  } else if (data instanceof Blob) {
    for (let at = 0; at < data.size; at += SLICE_BYTES) {
      yield new Uint8Array(await abortable(data.slice(at, at + SLICE_BYTES).arrayBuffer(), signal));
    }
  } else if (data instanceof ReadableStream || data?.[Symbol.asyncIterator]) {
    const source = iterator(data);
    try {
      for (;;) {
        const { done, value } = await abortable(source.next(), signal);
        if (done) return;
        yield asPiece(value);
      }
    } finally {
      // Not awaited: a generator that stalls does not answer.
      (async () => source.return?.())().catch(() => {});
    }
  } else if (data?.[Symbol.iterator]) {
    for await (const piece of data) yield asPiece(piece);
  } else {
    throw new InvalidArgumentError(
      'this takes a string, Uint8Array, ArrayBuffer, Blob, File, ReadableStream or an iterable of bytes',
      { code: 'invalid-argument' },
    );
  }
}

/** Not every browser iterates over streams, and none would cancel one while a read of it is under way. */
export function iterator(data) {
  if (!(data instanceof ReadableStream)) return data[Symbol.asyncIterator]();
  const reader = data.getReader();
  return { next: () => reader.read(), return: () => reader.cancel() };
}

function asPiece(value) {
  const bytes = inMemory(value);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('the stream gave something that is not bytes', { code: 'invalid-argument' });
}
