// What those that have a store of one name open agree upon, and how a lock is held.

/** Held by whoever has its files open. */
export const ownerLock = (name) => `ipfs-kit-storage ${name} owner`;
/** Shared by those that have its database open, and held by the owner of its files: it is in one place only. */
export const placeLock = (name) => `ipfs-kit-storage ${name} place`;
/** Held by a client as long as it lives. */
export const clientLock = (id) => `ipfs-kit-storage client ${id}`;
/** Where owners say that they are there, and clients ask for them. */
export const commonChannel = (name) => `ipfs-kit-storage ${name}`;
/** Where one client and the owner speak. */
export const clientChannel = (id, owner) => `ipfs-kit-storage client ${id} of ${owner}`;

/** A lock, as a function that gives it back and settles when that is done; undefined if it is not available. */
export function hold(name, options) {
  return new Promise((resolve, reject) => {
    const ended = navigator.locks.request(name, options, (lock) => {
      if (!lock) return resolve();
      return new Promise((end) => {
        resolve(() => {
          end();
          return ended.catch(() => {});
        });
      });
    });
    ended.catch(reject);
  });
}

/** The same, but undefined if it is not available for so many milliseconds: who has it may be about to give it back. */
export function holdSoon(name, options, milliseconds) {
  const signal = AbortSignal.timeout(milliseconds);
  return hold(name, { ...options, signal }).catch((error) => {
    if (signal.aborted) return undefined;
    throw error;
  });
}

/**
 * The lock of a store's place, for its files; undefined if its database is open. Only that counts, and no time: a store that
 * is in files, but was taken for one in a database because somebody was slow to leave, would be in two places.
 */
export async function holdPlace(name) {
  const lock = placeLock(name);
  for (;;) {
    const place = await holdSoon(lock, {}, 100);
    if (place) return place;
    const { held } = await navigator.locks.query();
    if (held.some((one) => one.name === lock && one.mode === 'shared')) return undefined;
  }
}
