// Folders of OPFS as the engine's pack takes them (`src/platform/browser/files.rs`): files that are read and written at once,
// by sync access handles. Only dedicated workers have these.

/** Where all stores of an origin are; hidden from who stores what the application keeps beside it as a tree. */
const HOME = '.ipfs-kit-storage';
/** How long the browser may take to give back what a dead worker had open, in milliseconds. */
const PATIENCE = 5000;

/** The folder of a store's name. */
const folderOf = (name) => `store-${encodeURIComponent(name)}`;

async function home(options) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(HOME, options);
}

/** The folder of the store of this name, as the browser has it. */
export async function findFolder(name) {
  return (await home()).getDirectoryHandle(folderOf(name));
}

/** Whether there is a store of this name. */
export async function exists(name) {
  try {
    await findFolder(name);
    return true;
  } catch (error) {
    if (error.name === 'NotFoundError') return false;
    throw error;
  }
}

/** The folder of the store of this name, which is made if there is none. */
export async function openFolder(name) {
  return new OpfsFolder(await (await home({ create: true })).getDirectoryHandle(folderOf(name), { create: true }));
}

export async function removeFolder(name) {
  await (await home({ create: true })).removeEntry(folderOf(name), { recursive: true }).catch((error) => {
    if (error.name !== 'NotFoundError') throw error;
  });
}

class OpfsFolder {
  kind = 'opfs';
  #folder;
  /** Promises of the files that are open, by their names. */
  #open = new Map();

  constructor(folder) {
    this.#folder = folder;
  }

  open(name) {
    if (!this.#open.has(name)) {
      const opening = this.#take(name);
      this.#open.set(name, opening);
      opening.catch(() => this.#open.delete(name));
    }
    return this.#open.get(name);
  }

  async #take(name) {
    const file = await this.#folder.getFileHandle(name, { create: true });
    for (const end = performance.now() + PATIENCE; ; ) {
      try {
        return new OpfsFile(await file.createSyncAccessHandle());
      } catch (error) {
        // Somebody else's. Nobody alive has it, for the lock is ours.
        if (error.name !== 'NoModificationAllowedError' || performance.now() > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async list() {
    const names = [];
    for await (const name of this.#folder.keys()) names.push(name);
    return names;
  }

  async remove(name) {
    (await this.#open.get(name)?.catch(() => {}))?.close();
    this.#open.delete(name);
    await this.#folder.removeEntry(name).catch((error) => {
      if (error.name !== 'NotFoundError') throw error;
    });
  }

  /** OPFS has no such call: its browsers keep the folders themselves, in a database that they write before they answer. */
  async sync() {}

  close() {
    for (const file of this.#open.values()) file.then((open) => open.close(), () => {});
    this.#open.clear();
  }
}

class OpfsFile {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  size() {
    return this.#handle.getSize();
  }

  read(memory, place, length, at) {
    return this.#handle.read(new Uint8Array(memory.buffer, place, length), { at });
  }

  write(memory, place, length, at) {
    const written = this.#handle.write(new Uint8Array(memory.buffer, place, length), { at });
    if (written < length) throw new DOMException('the browser took only a part of it', 'QuotaExceededError');
  }

  truncate(length) {
    this.#handle.truncate(length);
  }

  flush() {
    this.#handle.flush();
  }

  /** It stays open: the next handle of it would come later, and of one file there is one at a time. */
  release() {}

  close() {
    this.#handle.close();
  }
}
