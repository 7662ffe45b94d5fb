// The smallest page that stores, lists, gives back and forgets files. It is served beside the package: see `./x demo`.

import { getStorage } from './npm/index.js';

const at = (id) => document.getElementById(id);

async function attempt(action) {
  at('problem').textContent = '';
  try {
    await action(await getStorage());
  } catch (error) {
    at('problem').textContent = error.message;
  }
  at('progress').hidden = true;
  await show();
}

async function show() {
  const storage = await getStorage();
  const rows = [];
  for await (const file of storage.ls()) rows.push(row(file));
  at('list').replaceChildren(...rows);
  const { blocks, bytes, backends } = await storage.backendStatus();
  const [local] = backends;
  at('status').textContent = `${local.kind}: ${local.state}. ${blocks} blocks, ${bytes.toLocaleString()} bytes.`;
}

function row({ cid, filename, size }) {
  const code = Object.assign(document.createElement('code'), { textContent: cid });
  const save = button('Save', (storage) => download(storage, cid, filename));
  const forget = button('Forget', (storage) => storage.delete(cid));
  const cells = [filename ?? '', code, size.toLocaleString(), [save, ' ', forget]].map((content) => {
    const cell = document.createElement('td');
    cell.append(...[content].flat());
    return cell;
  });
  const row = document.createElement('tr');
  row.append(...cells);
  return row;
}

function button(label, action) {
  const button = Object.assign(document.createElement('button'), { textContent: label });
  button.onclick = () => attempt(action);
  return button;
}

async function download(storage, cid, filename) {
  const url = URL.createObjectURL(new Blob([await storage.retrieve(cid)]));
  Object.assign(document.createElement('a'), { href: url, download: filename ?? cid }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

at('files').onchange = ({ target }) =>
  attempt(async (storage) => {
    for (const file of target.files) {
      const onProgress = ({ done, total }) => Object.assign(at('progress'), { hidden: false, value: done / (total || 1) });
      await storage.store(file, { onProgress });
    }
    target.value = '';
  });

await attempt(() => {});
