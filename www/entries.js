// What is in a directory.

import { routeTo } from './address.js';
import { h } from './dom.js';
import { bytes } from './format.js';
import { icon } from './icons.js';
import { problem } from './problems.js';
import { store } from './store.js';

const PAGE = 200;

/** A list of entries, which grows when more are asked for. */
export async function entries(path) {
  const items = h('ul', { className: 'rows entries', 'aria-label': 'In this folder' });
  const more = async (after) => {
    try {
      const { files, next } = await (await store()).listFiles(path, { after, limit: PAGE, offline: true });
      items.append(...files.map((file) => row(path, file)));
      if (items.childElementCount === 0) items.append(h('li', { className: 'soft' }, 'This folder is empty.'));
      if (next === undefined) return;
      const button = h('button', { onclick: () => (button.parentElement.remove(), more(next)) }, 'Show more');
      items.append(h('li', {}, button));
    } catch (error) {
      items.append(h('li', {}, problem(error)));
    }
  };
  await more();
  return items;
}

function row(path, { filename, kind, size, dagSize }) {
  const figure = kind === undefined ? `not here${dagSize === undefined ? '' : `, ${bytes(dagSize)}`}` : bytes(size ?? dagSize);
  return h(
    'li',
    { className: kind === undefined ? 'absent' : undefined },
    icon(kind ?? 'file'),
    h('a', { className: 'what', href: routeTo(`${path}/${filename}`) }, filename),
    h('span', { className: 'soft' }, figure),
  );
}
