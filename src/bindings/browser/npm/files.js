// The mutable tree, as `storage.files` has it. Types and documentation are in index.d.ts.

/** Entries asked for at a time by `list`. */
const PAGE = 1000;

/**
 * `open` gives the engine, `read` reads like `retrieve` does, and the others are those of index.js.
 */
export function filesOf({ open, read, call, write, inMemory }) {
  const files = {
    async write(path, data, { signal, onProgress, ...options } = {}) {
      signal?.throwIfAborted();
      const wanted = { ...options, mtime: options.mtime?.valueOf() };
      const bytes = inMemory(data);
      if (bytes !== undefined && bytes.length <= 8 * 1024 * 1024) {
        await call(open().filesWrite(path, bytes, wanted));
        onProgress?.({ done: bytes.length, total: bytes.length });
        return;
      }
      const writer = await call(open().filesWriter(path, wanted));
      await write(writer, data, { signal, onProgress });
    },

    async read(path, options) {
      return read(path, options);
    },

    async truncate(path, length) {
      return call(open().filesTruncate(path, length));
    },

    async mkdir(path, options = {}) {
      return call(open().filesMkdir(path, { ...options, mtime: options.mtime?.valueOf() }));
    },

    async ls(path = '/', { after, limit = PAGE } = {}) {
      return call(open().filesLs(path, after, limit));
    },

    async *list(path = '/') {
      let after;
      do {
        const page = await files.ls(path, { after });
        yield* page.files;
        after = page.next;
      } while (after !== undefined);
    },

    async stat(path = '/') {
      return call(open().filesStat(path));
    },

    async cp(from, to, { parents = false } = {}) {
      return call(open().filesCp(String(from), to, Boolean(parents)));
    },

    async mv(from, to) {
      return call(open().filesMv(from, to));
    },

    async rm(path, { recursive = false, force = false } = {}) {
      return call(open().filesRm(path, Boolean(recursive), Boolean(force)));
    },

    async touch(path, { mtime = Date.now() } = {}) {
      return call(open().filesTouch(path, mtime.valueOf()));
    },

    async chmod(path, mode) {
      return call(open().filesChmod(path, mode));
    },

    async flush(path = '/') {
      return call(open().filesFlush(path));
    },

    async history() {
      return call(open().filesHistory());
    },
  };
  return files;
}
