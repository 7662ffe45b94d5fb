// Folders of the host, as the entries of a tree: what was picked, dropped or opened.

import { InvalidArgumentError } from './errors.js';

/** Files asked for at once: each is a question to another process. */
const AHEAD = 32;

/**
 * The entries of a source, and a name for their tree if the source has one. What was picked or dropped itself is taken
 * whatever its name is; of what is in a folder, what is hidden is left out unless it is asked for.
 */
export function treeOf(source, hidden) {
  switch (Object.prototype.toString.call(source).slice(8, -1)) {
    case 'FileSystemDirectoryHandle':
      return ofFolder(source, HANDLES, hidden);
    case 'DataTransfer':
      return ofItems(source.items, hidden);
    case 'DataTransferItemList':
      return ofItems(source, hidden);
    case 'FileList':
      return ofFiles([...source], hidden);
    case 'Array':
      return source[0] instanceof File ? ofFiles(source, hidden) : { entries: source };
    default:
      return { entries: source };
  }
}

/** Files picked one by one, or with the folder that they are in, which is the tree itself then. */
function ofFiles(files, hidden) {
  const paths = files.map((file) => file?.webkitRelativePath || file?.name);
  const filename = paths[0]?.split('/', 1)[0];
  const one = paths.every((path) => path?.startsWith(`${filename}/`)) && filename;
  const entries = function* () {
    for (const [at, content] of files.entries()) {
      const path = paths[at];
      if (hidden || !path?.includes('/.')) yield { path: one ? path.slice(one.length + 1) : path, content };
    }
  };
  return { entries: entries(), filename: one || undefined };
}

function ofItems(items, hidden) {
  const dropped = [...items].filter(({ kind }) => kind === 'file').map((item) => item.webkitGetAsEntry?.() ?? asEntry(item));
  if (dropped.length === 0) {
    throw new InvalidArgumentError('no files in it; what is dropped can be read during the event alone', {
      code: 'invalid-argument',
    });
  }
  if (dropped.length === 1 && dropped[0].isDirectory) return ofFolder(dropped[0], ENTRIES, hidden);
  return { entries: walk(dropped, ENTRIES, true, hidden) };
}

/** A file that lies in no folder: one that a script put there. */
function asEntry(item) {
  const file = item.getAsFile();
  return { name: file.name, isDirectory: false, file: (resolve) => resolve(file) };
}

function ofFolder(folder, kind, hidden) {
  return { entries: walk(kind.list(folder), kind, hidden, hidden), filename: folder.name || undefined };
}

/** The two ways in which browsers show folders. */
const HANDLES = {
  isFolder: (handle) => handle.kind === 'directory',
  list: (folder) => folder.values(),
  file: (handle) => handle.getFile(),
};
const ENTRIES = {
  isFolder: (entry) => entry.isDirectory,
  list: async function* (folder) {
    const reader = folder.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return;
      yield* some;
    }
  },
  file: (entry) => new Promise((resolve, reject) => entry.file(resolve, reject)),
};

/** These, and all that is below them. `all`: of these, also what is hidden. */
async function* walk(these, { isFolder, list, file }, all, hidden) {
  const folders = [['', these, all]];
  const ahead = [];
  while (folders.length > 0) {
    const [above, nodes, every] = folders.pop();
    for await (const node of nodes) {
      if (!every && node.name.startsWith('.')) continue;
      const path = above + node.name;
      if (isFolder(node)) {
        folders.push([`${path}/`, list(node), hidden]);
        ahead.push({ path });
      } else {
        const entry = file(node).then((content) => ({ path, content }));
        entry.catch(() => {}); // seen when it is its turn
        ahead.push(entry);
      }
      if (ahead.length === AHEAD) yield ahead.shift();
    }
  }
  yield* ahead;
}
