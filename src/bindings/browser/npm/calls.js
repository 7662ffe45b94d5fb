// Calls of the engine, and what it throws.

import { asError } from './errors.js';

export async function call(promise) {
  try {
    return await promise;
  } catch (error) {
    throw asError(error);
  }
}

/** Settles as the promise (or value) does, or rejects as soon as the signal aborts, and cancels what it waits for. */
export function abortable(promise, signal, cancel) {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      cancel?.cancel();
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    Promise.resolve(promise).then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
