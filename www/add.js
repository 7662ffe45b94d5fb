// What is dropped or picked goes into the store: files one by one, folders as trees, archives unpacked.

import { routeTo } from './address.js';
import { copyable } from './cid.js';
import { at, h } from './dom.js';
import { count } from './format.js';
import { changed, opened, store } from './store.js';
import { task } from './tasks.js';

const isArchive = (file) => /\.car$/i.test(file.name);
const sum = (files) => files.reduce((total, { size }) => total + size, 0);

export async function addFiles(files) {
  const plain = files.filter((file) => !isArchive(file));
  for (const archive of files.filter(isArchive)) void addArchive(archive);
  if (plain.length === 0) return;
  const total = sum(plain);
  const what = plain.length === 1 ? plain[0].name : count(plain.length, 'file');
  await task(['Storing', 'Stored', what], async ({ signal, progress }) => {
    const storage = await store();
    const stored = [];
    let before = 0;
    try {
      for (const file of plain) {
        const text = plain.length > 1 ? `${stored.length + 1} of ${plain.length}` : undefined;
        const onProgress = ({ done }) => progress({ done: before + done, total, text });
        stored.push(await storage.store(file, { signal, onProgress }));
        before += file.size;
      }
    } finally {
      changed();
    }
    return stored.slice(0, 3).map(result);
  });
}

/** A tree, of Files that were picked with their folder, or of what was dropped, which is empty after its event. */
async function addTree(source, name, total) {
  await task(['Storing', 'Stored', name], async ({ signal, progress }) => {
    const storage = opened() ?? (await store());
    const onProgress = ({ done, files }) => progress({ done, total, text: count(files, 'file') });
    const info = await storage.storeTree(source, { signal, onProgress });
    changed();
    return result(info);
  });
}

function addFolder(files) {
  if (files.length > 0) void addTree(files, files[0].webkitRelativePath.split('/')[0], sum(files));
}

async function addArchive(file) {
  await task(['Importing', 'Imported', file.name], async ({ signal, progress }) => {
    const storage = await store();
    const { roots, blocks } = await storage.importCar(file, { signal, onProgress: progress });
    changed();
    const partial = roots.filter(({ whole }) => !whole);
    return [
      h('p', {}, `${count(blocks, 'block')}, ${count(roots.length, 'root')}, each proven`),
      partial.length > 0 && h('p', {}, `Of ${count(partial.length, 'root')} not all is in the archive: pin it to fetch the rest.`),
      roots.slice(0, 3).map(result),
    ];
  });
}

function result({ cid }) {
  return h('p', { className: 'result' }, copyable(cid), h('a', { href: routeTo(cid) }, 'Show'));
}

/** The two buttons with which things are picked. */
export function pickers() {
  const files = h('input', { type: 'file', multiple: true, id: 'pick-files', className: 'unseen', tabIndex: -1 });
  const folder = h('input', { type: 'file', webkitdirectory: true, id: 'pick-folder', className: 'unseen', tabIndex: -1 });
  for (const input of [files, folder]) input.setAttribute('aria-hidden', 'true');
  files.onchange = () => (void addFiles([...files.files]), (files.value = ''));
  folder.onchange = () => (addFolder([...folder.files]), (folder.value = ''));
  return [
    files,
    folder,
    h('button', { className: 'primary', 'data-key': 'files', onclick: () => files.click() }, 'Choose files'),
    h('button', { 'data-key': 'folder', onclick: () => folder.click() }, 'Choose a folder'),
  ];
}

/** The whole page takes what is dropped. */
export function takeDrops() {
  const shown = (visible) => at('dropping').classList.toggle('shown', visible);
  let inside = 0;
  addEventListener('dragenter', () => shown((inside += 1) > 0));
  addEventListener('dragleave', () => shown((inside -= 1) > 0));
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    shown((inside = 0) > 0);
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === 'file');
    if (items.length === 0) return;
    const folder = items.map((item) => item.webkitGetAsEntry?.()).find((entry) => entry?.isDirectory);
    void (folder ? addTree(event.dataTransfer, folder.name) : addFiles([...event.dataTransfer.files]));
  });
}
