// Folders of Node as the engine's pack takes them (`src/platform/browser/files.rs`).

import fs from 'node:fs';
import { join } from 'node:path';

/** What the engine knows of Node's errors. */
const NAMES = {
  ENOSPC: 'QuotaExceededError',
  EDQUOT: 'QuotaExceededError',
  EFBIG: 'QuotaExceededError',
  EACCES: 'NotAllowedError',
  EPERM: 'NotAllowedError',
  EROFS: 'NotAllowedError',
};

function attempt(call) {
  try {
    return call();
  } catch (error) {
    throw new DOMException(error.message, NAMES[error.code] ?? 'OperationError');
  }
}

/** A folder, which is made if there is none. */
export class NodeFolder {
  kind = 'pack';
  #path;

  constructor(path) {
    this.#path = path;
    attempt(() => fs.mkdirSync(path, { recursive: true }));
  }

  /** Anew each time: by its name it may be another file since, as the lease of another process is. */
  async open(name) {
    return new NodeFile(join(this.#path, name));
  }

  async list() {
    return attempt(() => fs.readdirSync(this.#path));
  }

  async remove(name) {
    attempt(() => fs.rmSync(join(this.#path, name), { force: true }));
  }

  async sync() {
    if (process.platform === 'win32') return; // folders cannot be opened there
    attempt(() => {
      const folder = fs.openSync(this.#path, 'r');
      fs.fsyncSync(folder);
      fs.closeSync(folder);
    });
  }

  /** Its files are closed one by one, when nobody uses them any more. */
  close() {}
}

class NodeFile {
  #file;

  constructor(path) {
    const { O_RDWR, O_CREAT } = fs.constants;
    this.#file = attempt(() => fs.openSync(path, O_RDWR | O_CREAT, 0o644));
  }

  size() {
    return attempt(() => fs.fstatSync(this.#file).size);
  }

  read(memory, place, length, at) {
    const view = new Uint8Array(memory.buffer, place, length);
    return attempt(() => {
      let read = 0;
      while (read < length) {
        const part = fs.readSync(this.#file, view, read, length - read, at + read);
        if (part === 0) break;
        read += part;
      }
      return read;
    });
  }

  write(memory, place, length, at) {
    const view = new Uint8Array(memory.buffer, place, length);
    attempt(() => {
      for (let written = 0; written < length; ) {
        written += fs.writeSync(this.#file, view, written, length - written, at + written);
      }
    });
  }

  truncate(length) {
    attempt(() => fs.ftruncateSync(this.#file, length));
  }

  flush() {
    attempt(() => fs.fdatasyncSync(this.#file));
  }

  release() {
    fs.closeSync(this.#file);
  }
}
