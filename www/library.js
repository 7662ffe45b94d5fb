// All that is stored, and where things are put in.

import { routeTo } from './address.js';
import { pickers } from './add.js';
import { h, render } from './dom.js';
import { bytes, count, KINDS, short, when } from './format.js';
import { glyph } from './glyph.js';
import { icon } from './icons.js';
import { allPins, pinAll, pinButton } from './pins.js';
import { problem } from './problems.js';
import { store } from './store.js';

/** Roots that are shown before one asks for more. */
const SHOWN = 100;

let words = '';
let shown = SHOWN;

export async function library(main) {
  let files;
  let pins;
  try {
    const storage = await store();
    files = await Array.fromAsync(storage.ls());
    pins = await allPins();
  } catch (error) {
    return render(main, problem(error, h('button', { onclick: () => location.reload() }, 'Reload')));
  }
  files.sort((a, b) => (b.modified ?? 0) - (a.modified ?? 0));
  const roots = new Set(files.map(({ cid }) => cid));
  const pending = [...pins.values()].filter((pin) => pin.pending && !roots.has(pin.cid));
  if (files.length + pending.length === 0) return render(main, welcome());
  render(main, bar(files), pending.map(unfinished), list(files, pins));
}

function welcome() {
  return h(
    'section',
    { className: 'welcome' },
    glyph('bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi', 'emblem'),
    h('h1', {}, 'Keep files under their own addresses'),
    h(
      'p',
      { className: 'lead' },
      'Drop files or a folder anywhere on this page. Each gets the address that IPFS tools everywhere give it, and stays in this browser, on your device, with or without a network.',
    ),
    h('p', { className: 'actions' }, pickers()),
    h('p', { className: 'soft' }, 'Archives (.car) are unpacked. Or paste an address at the top to fetch what others have.'),
  );
}

function bar(files) {
  const size = files.reduce((sum, file) => sum + (file.size ?? 0), 0);
  return h(
    'div',
    { className: 'bar' },
    h('div', {}, h('h1', {}, 'Stored here'), h('p', { className: 'soft' }, `${count(files.length, 'item')}, ${bytes(size)}`)),
    h('p', { className: 'actions' }, pickers()),
  );
}

function list(files, pins) {
  const items = h('ul', { className: 'rows', id: 'list' });
  const show = () => {
    const found = files.filter(({ cid, filename = '' }) => `${filename} ${cid}`.toLowerCase().includes(words.toLowerCase()));
    const more = found.length - shown;
    render(
      items,
      found.slice(0, shown).map((file) => row(file, pins.get(file.cid))),
      found.length === 0 && h('li', { className: 'soft' }, `Nothing here is called “${words}”.`),
      more > 0 && h('li', {}, h('button', { onclick: () => ((shown += SHOWN), show()) }, `Show more (${count(more, 'item')})`)),
    );
  };
  show();
  const filter = h('input', {
    type: 'search',
    'aria-label': 'Find by name or CID',
    placeholder: 'Find by name or CID',
    value: words,
    'data-key': 'filter',
    oninput: () => ((words = filter.value), show()),
  });
  return [files.length > 5 && h('p', { className: 'filter' }, filter), items];
}

function row(file, pin) {
  const { cid, filename, kind, size, modified } = file;
  const about = [KINDS[kind], bytes(size), modified && when(modified)].filter(Boolean).join(' · ');
  return h(
    'li',
    {},
    glyph(cid),
    h(
      'div',
      { className: 'what' },
      h('a', { href: routeTo(cid), 'data-key': `open ${cid}` }, kind && kind !== 'file' && icon(kind), filename ?? short(cid)),
      h('p', { className: 'soft' }, about, h('span', { className: 'short' }, ' · ', h('code', { title: cid }, short(cid)))),
    ),
    pin?.pending && h('span', { className: 'chip pending' }, 'pin pending'),
    pinButton(file),
  );
}

/** A pin that broke off: what it has stays, and it goes on when it is made again. */
function unfinished({ cid, name }) {
  return h(
    'section',
    { className: 'notice' },
    h('p', {}, h('strong', {}, name ?? short(cid)), ' is to be pinned, and not all of it has come yet. What has stays.'),
    h('p', { className: 'actions' }, h('a', { href: routeTo(cid) }, 'Show'), h('button', { onclick: () => pinAll(cid, name ?? short(cid)) }, 'Go on')),
  );
}
