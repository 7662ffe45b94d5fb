// A folder of OPFS where there are no sync access handles: its files are Blobs, of which parts are loaded after they were asked
// for (`src/tier/snapshot.rs`).

/** Loaded at least, since what is read next often lies behind: a block does, behind its key. */
const WINDOW_BYTES = 1024 * 1024 + 4096;
/** Windows kept after a call. */
const MAX_WINDOWS = 8;

export class SnapshotFolder {
  kind = 'opfs';
  #folder;
  #files = new Map();
  /** Parts that are loaded, the latest last: file, first byte, bytes. */
  #windows = [];
  #wanted;

  constructor(folder) {
    this.#folder = folder;
  }

  async open(name) {
    if (!this.#files.has(name)) {
      const blob = await this.#folder.getFileHandle(name).then((handle) => handle.getFile());
      this.#files.set(name, new SnapshotFile(blob, (at, length) => this.#find(blob, at, length)));
    }
    return this.#files.get(name);
  }

  async list() {
    const names = [];
    for await (const name of this.#folder.keys()) names.push(name);
    return names;
  }

  #find(blob, at, length) {
    const holds = (window) => window.blob === blob && at >= window.at && at + length <= window.at + window.bytes.length;
    const window = this.#windows.find(holds);
    if (window) return window.bytes.subarray(at - window.at, at - window.at + length);
    this.#wanted = { blob, at, length };
    throw new Error('this is still to be loaded');
  }

  /** Loads what was asked for and not there; false if there is nothing. */
  async load() {
    if (this.#wanted === undefined) return false;
    const { blob, at, length } = this.#wanted;
    this.#wanted = undefined;
    const part = blob.slice(at, at + Math.max(length, WINDOW_BYTES));
    this.#windows.push({ blob, at, bytes: new Uint8Array(await part.arrayBuffer()) });
    return true;
  }

  trim() {
    this.#windows.splice(0, this.#windows.length - MAX_WINDOWS);
  }

  async remove() {
    denied();
  }

  async sync() {}

  close() {}
}

class SnapshotFile {
  #blob;
  #find;

  constructor(blob, find) {
    this.#blob = blob;
    this.#find = find;
  }

  size() {
    return this.#blob.size;
  }

  read(memory, place, length, at) {
    const there = Math.max(0, Math.min(length, this.#blob.size - at));
    new Uint8Array(memory.buffer, place, there).set(this.#find(at, there));
    return there;
  }

  write() {
    denied();
  }

  truncate() {
    denied();
  }

  flush() {
    denied();
  }

  release() {}
}

function denied() {
  throw new DOMException('no page has this store open, and without one it can only be read', 'NotAllowedError');
}
