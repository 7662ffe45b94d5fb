// Who may be asked for what is not here: shown as the status tells it, added and removed.

import { h } from './dom.js';
import { bytes, when } from './format.js';
import { icon } from './icons.js';
import { current, set } from './store.js';

const KNOWN = [
  ['https://trustless-gateway.link', 'trustless-gateway.link', 'A public gateway. It learns what you fetch from it.'],
  ['http://127.0.0.1:8080', 'your own node', 'The gateway of a Kubo node on this machine, at port 8080'],
];

export function add(address) {
  const remotes = current().remotes.filter((remote) => remote !== address);
  return set({ remotes: [...remotes, address] });
}

function remove(address) {
  return set({ remotes: current().remotes.filter((remote) => remote !== address) });
}

/** Buttons that add a remote that many have. */
export function suggestions() {
  const left = KNOWN.filter(([address]) => !current().remotes.includes(address));
  return left.map(([address, name, title]) => h('button', { title, onclick: () => add(address), 'data-key': address }, icon('plus'), `Ask ${name}`));
}

/** A remote, as the status says, and never more. */
export function remoteCard({ name, kind, state, evidence, checked, latency, failures, bytesIn, bytesOut }) {
  const address = current().remotes.find((remote) => remote.replace(/\/+$/, '') === name.replace(/\/+$/, '')) ?? name;
  const figures = [
    latency !== undefined && `first bytes after ${Math.round(latency)} ms`,
    bytesIn > 0 && `${bytes(bytesIn)} received`,
    bytesOut > 0 && `${bytes(bytesOut)} sent`,
    failures > 0 && `${failures} failed since it last worked`,
  ].filter(Boolean);
  return h(
    'article',
    { className: 'backend', 'data-remote': name },
    h(
      'div',
      { className: 'head' },
      h('i', { className: `state ${state}`, 'aria-hidden': 'true' }),
      h('strong', {}, name.replace(/^[a-z+]*https?:\/\//, '')),
      h('button', { className: 'quiet', 'aria-label': `Do not ask ${name} any more`, onclick: () => remove(address) }, icon('close')),
    ),
    h('p', {}, h('span', { className: 'word' }, state), ` · ${kind}`, checked > 0 && ` · ${when(checked)}`),
    h('p', { className: 'soft' }, evidence),
    figures.length > 0 && h('p', { className: 'soft' }, figures.join(' · ')),
  );
}

/** Where an address is typed in. There is one, which stays. */
export const remoteForm = makeForm();

function makeForm() {
  const input = h('input', {
    name: 'remote',
    type: 'text',
    required: true,
    pattern: '\\s*((kubo|routing)\\+)?https?://.+',
    title: 'https://… is a trustless gateway, kubo+http://… the RPC of a Kubo node, routing+https://… a delegated router',
    'aria-label': 'Address of a gateway',
    placeholder: 'https://gateway.example',
    autocomplete: 'off',
    spellcheck: false,
    'data-key': 'remote',
  });
  const onsubmit = (event) => {
    event.preventDefault();
    void add(input.value.trim());
    input.value = '';
  };
  return h('form', { className: 'remote', onsubmit }, input, h('button', { 'aria-label': 'Add this gateway' }, icon('plus'), 'Add'));
}
