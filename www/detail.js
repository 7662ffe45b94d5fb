// One thing: what it is, where it is, what is in it, and what can be done with it.

import { routeTo, urlOf } from './address.js';
import { copyable } from './cid.js';
import { h, render } from './dom.js';
import { bytes, KINDS, short, when } from './format.js';
import { glyph } from './glyph.js';
import { icon } from './icons.js';
import { absent, fetchFile } from './fetching.js';
import { entries } from './entries.js';
import { allPins, forget, pinButton } from './pins.js';
import { preview } from './preview.js';
import { problem } from './problems.js';
import { sourcesOf } from './sources.js';
import { current, store } from './store.js';
import { complain } from './tasks.js';

/**
 * Shows what is at a path. With `fetching` it may be fetched, and a file of a moderate size is, as a whole. Gives what brings
 * the view up to date, if that is less than drawing it anew, which is what `again` does.
 */
export async function detail(view, path, again, { fetching = false } = {}) {
  const fetch = () => again({ fetching: true });
  let info;
  try {
    if (fetching) {
      render(view, waiting(path));
      await fetchFile(path, short(path.split('/').at(-1)));
    }
    info = await look(path, fetching);
  } catch (error) {
    const { localOnly, remotes } = current();
    if (isAbsent(error) && (!fetching || localOnly || remotes.length === 0)) render(view, crumbs(path), absent(path, fetch));
    else render(view, crumbs(path), problem(error, h('button', { onclick: fetch }, 'Try again')));
    return undefined;
  }
  const top = h('div');
  const refresh = async () => {
    info = await look(path).catch(() => info);
    const title = path.includes('/') ? path.split('/').at(-1) : (info.filename ?? short(info.cid));
    render(top, crumbs(path, info), head(title, path, info, (await allPins()).get(info.cid)), actions(title, path, info));
    return title;
  };
  const title = await refresh();
  render(view, top, [...new Set([path, info.cid])].map(sourcesOf));
  view.append(await inside(path, info, title));
  return refresh;
}

/** What is known of a path. What a directory links to, and is not held, is looked up by itself. */
async function look(path, fetching = false) {
  const storage = await store();
  const info = await storage.stat(path, { offline: !fetching });
  return info.kind === undefined ? storage.stat(info.cid, { offline: !fetching }) : info;
}

function isAbsent({ code, cid, path }) {
  return code === 'not-available-offline' || (code === 'not-found' && path === cid);
}

async function inside(path, info, title) {
  if (info.kind === 'directory') return entries(path);
  if (info.kind === 'symlink') return h('p', {}, 'It leads to ', h('code', {}, info.target), '.');
  if (info.kind !== 'file') return h('p', { className: 'soft' }, 'This is a value of linked data.');
  const frame = h('section', { className: 'preview', 'aria-label': 'Preview' });
  render(frame, (await preview(path, info, title)) ?? h('p', { className: 'soft' }, 'There is no preview for this type of file.'));
  return frame;
}

function fetchAll(path, title) {
  return fetchFile(path, title, { always: true }).catch((error) => complain(error));
}

function waiting(path) {
  return [crumbs(path), h('p', { className: 'waiting' }, h('progress', { 'aria-label': 'Asking for it' }), 'Asking for it …'), sourcesOf(path)];
}

function crumbs(path, info) {
  const names = path.split('/');
  const links = names.map((name, at) => {
    const text = at === 0 ? ((names.length === 1 && info?.filename) || short(name)) : name;
    const here = at === names.length - 1;
    return h('li', {}, h('a', { href: routeTo(names.slice(0, at + 1).join('/')), 'aria-current': here ? 'page' : undefined }, text));
  });
  return h('nav', { 'aria-label': 'Path' }, h('ol', { className: 'crumbs' }, h('li', {}, h('a', { href: '#/' }, 'Stored here')), links));
}

function head(title, path, info, pin) {
  const { cid, kind, size, dagSize, modified, mtime, pinned } = info;
  const about = [KINDS[kind], size || pin?.bytes || dagSize || size, modified ? `stored ${when(modified)}` : mtime && `changed ${when(mtime)}`];
  about[1] = about[1] === undefined ? undefined : bytes(about[1]);
  return h(
    'div',
    { className: 'title' },
    glyph(cid),
    h(
      'div',
      {},
      h('h1', {}, title),
      h('p', { className: 'soft' }, about.filter(Boolean).join(' · '), ' ', chip(path, info, pin)),
      copyable(cid, { whole: true }),
      pinned && pin?.blocks !== undefined && h('p', { className: 'soft' }, `Its pin keeps ${pin.blocks.toLocaleString('en')} blocks, ${bytes(pin.bytes)}.`),
    ),
  );
}

function chip(path, { modified, pinned }, pin) {
  if (pin?.pending) return h('span', { className: 'chip pending' }, 'pin pending');
  if (pinned) return h('span', { className: 'chip pinned' }, 'pinned');
  if (modified !== undefined) return h('span', { className: 'chip stored' }, 'stored');
  return path.includes('/') ? undefined : h('span', { className: 'chip cached', title: '“Free up space” takes it. Pin it to keep it.' }, 'cached');
}

function actions(title, path, info) {
  const { cid, kind, modified } = info;
  const link = (href, name, text, properties = {}) => h('a', { className: 'button', href, ...properties }, icon(name), text);
  const isRoot = modified !== undefined;
  return h(
    'p',
    { className: 'actions' },
    pinButton({ ...info, filename: title }, { label: true }),
    kind === 'file' && link(urlOf(path, { filename: title, download: true }), 'save', 'Save'),
    (kind === 'file' || kind === 'directory') &&
      link(kind === 'file' ? urlOf(path, { filename: title }) : `${urlOf(path)}/`, 'open', kind === 'file' ? 'Open' : 'Open as a site', {
        target: '_blank',
        rel: 'noopener',
      }),
    link(urlOf(cid, { format: 'car', filename: `${title}.car` }), 'archive', 'Export as CAR'),
    !isRoot && kind === 'file' && !current().localOnly && h('button', { onclick: () => fetchAll(path, title) }, 'Fetch all of it'),
    isRoot &&
      h(
        'button',
        { className: 'danger', onclick: async () => (await forget({ ...info, filename: title })) && (location.hash = '#/') },
        icon('forget'),
        'Forget',
      ),
  );
}
