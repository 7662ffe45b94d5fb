// The picture of where things are: memory, this browser, and elsewhere.

import { freeSpace, checkAll } from './care.js';
import { h, render } from './dom.js';
import { bytes, count } from './format.js';
import { icon } from './icons.js';
import { problem } from './problems.js';
import { remoteCard, remoteForm, suggestions } from './remotes.js';
import { changes, store } from './store.js';

const TIERS = { idb: 'IndexedDB', indexeddb: 'IndexedDB', opfs: 'private files', pack: 'private files', memory: 'memory only' };

/** The status asks each remote for a sign of life: so often at most. */
const PAUSE = 4000;

const OFFLINE = {
  'no-remotes': 'Nobody is set up to be asked for what is not here.',
  'force-fallback': '“Local only” is on: nobody is asked.',
  disabled: 'The network is switched off for this page: nobody is asked.',
  disconnected: 'This device is not connected.',
};

export function watchTiers(aside) {
  let timer;
  let last = 0;
  let places;
  const show = async () => {
    timer = undefined;
    const mine = (last = performance.now());
    try {
      const status = await (await store()).backendStatus();
      // A slow answer of before is not shown over a later one.
      if (mine !== last) return;
      places ??= frame(aside);
      picture(places, status);
    } catch (error) {
      if (mine !== last) return;
      places = undefined;
      render(aside, problem(error));
    }
  };
  const soon = () => {
    const asksOthers = aside.querySelector('[data-remote]') !== null;
    const wait = asksOthers ? Math.max(300, last + PAUSE - performance.now()) : 300;
    timer ??= setTimeout(show, wait);
  };
  for (const event of ['content', 'asked']) changes.addEventListener(event, soon);
  changes.addEventListener('settings', () => (clearTimeout(timer), (timer = setTimeout(show, 0))));
  changes.addEventListener('fetched', ({ detail }) => flow(aside, detail));
  addEventListener('online', soon);
  addEventListener('offline', soon);
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && soon());
  void show();
}

/** What stays when the picture changes: its places, and the form, in which somebody may be typing. */
function frame(aside) {
  const wire = () => h('div', { className: 'wire', 'aria-hidden': 'true' });
  const tier = (...children) => h('section', { className: 'tier' }, children);
  const places = { memory: tier(), browser: tier(), remotes: h('div'), known: h('div') };
  const elsewhere = tier(h('h3', {}, 'Elsewhere'), places.remotes, remoteForm, places.known);
  render(aside, h('h2', {}, 'Where things are'), places.memory, wire(), places.browser, wire(), elsewhere);
  return places;
}

function picture(places, status) {
  const [local, ...others] = status.backends;
  const remotes = others.filter(({ role }) => role === 'remote');
  render(places.memory, memory(status));
  render(places.browser, browser(local, status));
  render(places.remotes, elsewhere(remotes, status));
  render(places.known, remotes.length === 0 && h('p', { className: 'actions column' }, suggestions()));
}

function memory({ memoryBytes, memoryLimit, memoryHits, memoryMisses }) {
  const reads = memoryHits + memoryMisses;
  return [
    h('h3', {}, 'Memory'),
    meter('Memory in use', [['memory', memoryBytes]], memoryLimit),
    h('p', { className: 'soft' }, `${bytes(memoryBytes)} of ${bytes(memoryLimit)}`, reads > 0 && ` · answered ${memoryHits.toLocaleString('en')} of ${count(reads, 'read')}`),
  ];
}

function browser(local, status) {
  const { quota, quotaUsed, persisted, quarantined, evictedRoots, evictedBytes, pinsUncounted } = status;
  // What two pins share counts twice there.
  const pinned = Math.min(status.pinnedBytes, status.bytes);
  const rest = status.bytes - pinned;
  return [
    h('h3', {}, 'This browser'),
    h('p', {}, h('i', { className: `state ${local.state}`, 'aria-hidden': 'true' }), h('span', { className: 'word' }, local.state), ` · ${TIERS[local.kind] ?? local.kind}`),
    local.state !== 'available' && h('p', { className: 'soft' }, local.evidence),
    meter('Pinned, and stored or cached', [['pinned', pinned], ['stored', rest]], Math.max(status.bytes, 1)),
    h(
      'ul',
      { className: 'legend' },
      h('li', {}, h('i', { className: 'pinned' }), 'pinned', h('span', {}, `${pinsUncounted > 0 ? 'at least ' : ''}${bytes(pinned)}`)),
      h('li', {}, h('i', { className: 'stored' }), 'stored or cached', h('span', {}, bytes(rest))),
      h('li', {}, h('i', {}), 'in all', h('span', { id: 'held' }, `${bytes(status.bytes)} in ${count(status.blocks, 'block')}`)),
    ),
    quota !== undefined && [
      meter('Of what the browser allows', [['used', quotaUsed]], quota),
      h('p', { className: 'soft' }, `The browser says: ${bytes(quotaUsed)} of ${bytes(quota)} in use.`),
    ],
    persisted === false && h('p', { className: 'soft' }, 'When it is short of room it may drop this. ', h('button', { className: 'link', 'data-key': 'persist', onclick: persist }, 'Ask it not to')),
    quarantined > 0 && h('p', { className: 'warn' }, `${count(quarantined, 'damaged block')} set aside.`),
    evictedRoots > 0 && h('p', { className: 'soft' }, `${count(evictedRoots, 'file')} made room (${bytes(evictedBytes)}).`),
    h(
      'p',
      { className: 'actions' },
      h('button', { 'data-key': 'collect', onclick: freeSpace }, icon('sweep'), 'Free up space'),
      h('button', { 'data-key': 'verify', onclick: checkAll }, icon('check'), 'Check everything'),
    ),
  ];
}

async function persist({ target }) {
  const granted = await (await store()).persist();
  target.parentElement.textContent = granted ? 'The browser has promised not to drop this.' : 'The browser did not promise it. Some do when a page is used often, or bookmarked.';
}

function elsewhere(remotes, { localOnly }) {
  return [
    localOnly && h('p', { className: 'soft' }, OFFLINE[localOnly] ?? `Nobody is asked: ${localOnly}.`),
    remotes.map(remoteCard),
  ];
}

/** A bar of parts, as large as they are. */
function meter(label, parts, whole) {
  const share = (part) => `${Math.min(100, (100 * part) / (whole || 1))}%`;
  const text = parts.map(([name, part]) => `${name} ${bytes(part)}`).join(', ');
  const bar = h('div', { className: 'meter', role: 'img', 'aria-label': `${label}: ${text} of ${bytes(whole)}` });
  for (const [name, part] of parts) {
    const piece = h('span', { className: name });
    piece.style.width = share(part);
    bar.append(piece);
  }
  return bar;
}

/** Something came from there. */
function flow(aside, remote) {
  const card = aside.querySelector(`[data-remote="${CSS.escape(remote)}"]`);
  const wire = aside.querySelectorAll('.wire')[1];
  for (const part of [card, wire]) {
    part?.classList.remove('flow');
    void part?.offsetWidth; // begins anew
    part?.classList.add('flow');
  }
}
