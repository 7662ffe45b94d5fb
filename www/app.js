// The page: which view is shown, and what stands around it.

import { takeDrops } from './add.js';
import { parseAddress, routeTo } from './address.js';
import { detail } from './detail.js';
import { at, h, render } from './dom.js';
import { icon } from './icons.js';
import { library } from './library.js';
import { installWorker } from './offline.js';
import { changes, current, set } from './store.js';
import { complain } from './tasks.js';
import { watchTiers } from './tiers.js';

const main = at('main');
const THEMES = { auto: 'light dark', light: 'light', dark: 'dark' };

/** What was asked for in the address bar: it may be fetched without another question. */
let wanted;
/** Brings what is shown up to date. */
let refresh = () => {};

/** Shows what the fragment of the URL says. Each view has an element of its own: one that comes late disturbs no other. */
async function show() {
  const path = /^#\/ipfs\/./.test(location.hash) ? parseAddress(`ipfs://${location.hash.slice(7)}`) : undefined;
  const view = h('div', { className: 'view' });
  main.replaceChildren(view);
  document.title = path === undefined ? 'ipfs-kit-storage' : `${path.split('/').at(-1)} – ipfs-kit-storage`;
  const fetching = path !== undefined && path === wanted;
  wanted = undefined;
  const draw = async (options) => {
    refresh = () => {};
    const next = path === undefined ? await library(view) : await detail(view, path, draw, options);
    if (view.isConnected) refresh = next ?? draw;
  };
  await draw({ fetching });
}

let refreshing = Promise.resolve();
let due = false;

/** One after the other, so that none shows what was before over what is now; and one for all that ask meanwhile. */
function refreshSoon() {
  if (due) return;
  due = true;
  refreshing = refreshing.then(() => {
    due = false;
    return refresh();
  });
  refreshing = refreshing.catch((error) => console.error(error));
}

function openAddress(event) {
  event.preventDefault();
  const { address } = event.target.elements;
  const path = parseAddress(address.value);
  if (path === undefined) return complain({ code: 'invalid-cid', message: `“${address.value}” is not understood` });
  address.value = '';
  wanted = path;
  if (location.hash === routeTo(path)) void show();
  else location.hash = routeTo(path);
}

function showSettings() {
  const { localOnly, theme } = current();
  at('local-only').checked = localOnly;
  document.documentElement.style.colorScheme = THEMES[theme];
  const next = { auto: 'light', light: 'dark', dark: 'auto' }[theme];
  const name = { auto: 'as the system has them', light: 'light', dark: 'dark' }[theme];
  const button = Object.assign(at('theme'), { title: `Colours: ${name}`, onclick: () => set({ theme: next }) });
  button.setAttribute('aria-label', `Colours: ${name}. Change`);
  render(button, icon(theme));
}

at('address').onsubmit = openAddress;
at('local-only').onchange = ({ target }) => set({ localOnly: target.checked });
addEventListener('hashchange', async () => {
  await show();
  main.focus({ preventScroll: true });
});
changes.addEventListener('settings', showSettings);
changes.addEventListener('content', refreshSoon);
takeDrops();
showSettings();
watchTiers(at('tiers'));
installWorker().catch((error) => console.error(error));
await show();
