// The service worker: answers for `/ipfs/…` from the store, and for the app's own files when there is no network.

import { getStorage, resetStorage } from './npm/index.js';
import { respond } from './npm/gateway.js';
import { readSettings } from './settings.js';
import { FILES, VERSION } from './shell.js';

const SHELL = `shell-${VERSION}`;
const HOME = new URL('./', location.href);
const BASE = new URL('ipfs/', HOME).pathname;

addEventListener('install', (event) => event.waitUntil(keepShell()));
addEventListener('activate', (event) => event.waitUntil(dropOldShells().then(() => clients.claim())));
addEventListener('message', ({ data }) => data === 'take-over' && skipWaiting());
addEventListener('fetch', (event) => {
  const { origin, pathname } = new URL(event.request.url);
  if (origin !== location.origin) return;
  if (pathname.startsWith(BASE)) event.respondWith(gateway(event.request));
  else if (event.request.method === 'GET') event.respondWith(fromShell(event.request));
});

async function gateway(request) {
  const { localOnly, remotes } = await readSettings();
  const answer = () => respond(request, storage(remotes), { base: BASE, offline: localOnly });
  const response = await answer();
  if (response.status !== 503) return response;
  // A page has deleted or upgraded the database since it was opened here.
  await resetStorage();
  return answer();
}

let opened;
/** The engine's code comes once, from what is kept: a service worker does not ask itself. */
let loaded = false;

/** Opened when it is first needed, for service workers are often started in vain; anew when the remotes are others. */
async function storage(remotes) {
  const wanted = remotes.join(' ');
  if (opened !== wanted) void resetStorage(); // who comes next gets a new one, at once
  opened = wanted;
  const module = loaded ? undefined : await (await caches.open(SHELL)).match(new URL('npm/ipfs_kit_storage_bg.wasm', HOME));
  const storage = await getStorage({ remotes, module });
  loaded = true;
  return storage;
}

async function keepShell() {
  const shell = await caches.open(SHELL);
  // Past the HTTP cache: all files are to be of one version.
  await shell.addAll(['./', ...FILES].map((file) => new Request(new URL(file, HOME), { cache: 'no-cache' })));
}

async function dropOldShells() {
  const old = (await caches.keys()).filter((name) => name.startsWith('shell-') && name !== SHELL);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function fromShell(request) {
  const shell = await caches.open(SHELL);
  return (await shell.match(request, { ignoreSearch: true })) ?? fetch(request);
}
