// Which blocks came from whom, as far as the storage tells: it says after each batch how many there are by now, and who gave
// the last of them.

import { h, render } from './dom.js';
import { bytes, count } from './format.js';
import { fetched as tellFetched } from './store.js';

const records = new Map();
/** More squares than this are not drawn one by one. */
const SQUARES = 600;
const COLOURS = 6;

/** The record of a path, new or as it was. It lasts as long as the page. */
export function record(path) {
  if (!records.has(path)) records.set(path, new Record());
  return records.get(path).begin();
}

class Record {
  /** One for each batch: who gave it, how many blocks, how many bytes. */
  batches = [];
  /** Blocks in all; undefined as long as nobody has counted them. */
  total;
  /** Whether all of it is here now. */
  whole = false;
  #views = new Set();
  #before = { blocks: 0, bytes: 0 };

  begin() {
    this.#before = { blocks: 0, bytes: 0 };
    return this;
  }

  add({ blocks, bytes, remote }) {
    this.batches.push({ remote, blocks: blocks - this.#before.blocks, bytes: bytes - this.#before.bytes });
    this.#before = { blocks, bytes };
    tellFetched(remote);
    this.#show();
  }

  end(total) {
    Object.assign(this, { total, whole: true });
    this.#show();
  }

  /** A figure that follows the record. */
  view() {
    const figure = h('figure', { className: 'sources', hidden: true });
    this.#views.add(figure);
    draw(figure, this);
    return figure;
  }

  #show() {
    for (const figure of this.#views) {
      if (figure.isConnected) draw(figure, this);
      else this.#views.delete(figure);
    }
  }
}

/** What is known of where a path came from, as a figure. */
export function sourcesOf(path) {
  if (!records.has(path)) records.set(path, new Record());
  return records.get(path).view();
}

function draw(figure, { batches, total, whole }) {
  const remotes = new Map();
  for (const { remote, blocks, bytes } of batches) {
    const sum = remotes.get(remote) ?? { blocks: 0, bytes: 0, colour: remotes.size % COLOURS };
    remotes.set(remote, { ...sum, blocks: sum.blocks + blocks, bytes: sum.bytes + bytes });
  }
  const came = batches.reduce((sum, { blocks }) => sum + blocks, 0);
  const here = total === undefined ? 0 : Math.max(0, total - came);
  figure.hidden = came + here === 0;
  const each = Math.ceil((came + here) / SQUARES);
  const squares = batches.flatMap(({ remote, blocks }) => {
    const { colour } = remotes.get(remote);
    return Array.from({ length: Math.ceil(blocks / each) }, () => h('i', { className: `from-${colour}`, title: remote }));
  });
  for (let at = 0; at < here; at += each) squares.push(h('i', { className: 'from-here', title: 'this browser' }));
  const line = (className, name, text) => h('li', {}, h('i', { className }), h('span', {}, name), h('span', {}, text));
  render(
    figure,
    h('div', { className: 'squares', 'aria-hidden': 'true' }, squares),
    h(
      'ul',
      {},
      [...remotes].map(([name, sum]) => line(`from-${sum.colour}`, name, `${count(sum.blocks, 'block')}, ${bytes(sum.bytes)}`)),
      here > 0 && line('from-here', 'was here before', count(here, 'block')),
    ),
    h(
      'figcaption',
      {},
      each > 1 ? `A square is ${each} blocks. ` : 'A square is a block. ',
      'Each was proven against its CID before it was kept.',
      whole && total === undefined ? ' Anything else that it needs was here before.' : '',
    ),
  );
}
