// The open storage, as the settings say, and word of what changes in it, in this tab and in others.

import { openStorage } from './npm/index.js';
import { changeSettings, readSettings } from './settings.js';
import { endFetching, idle } from './tasks.js';

const others = new BroadcastChannel('ipfs-kit-storage');
export const changes = new EventTarget();

let settings = await readSettings();
let opening;
let now;

/** The storage; opened when it is first asked for. */
export async function store() {
  const { localOnly, remotes } = settings;
  opening ??= openStorage({ remotes, forceFallback: localOnly }).catch((error) => {
    opening = undefined;
    throw error;
  });
  return (now = await opening);
}

/** The storage, if it is open at this moment. */
export function opened() {
  return now;
}

export function current() {
  return settings;
}

/** Changes settings, here and in the other tabs. */
export async function set(change) {
  adopt(await changeSettings(change));
  others.postMessage('settings');
  changed();
}

/** Says that something was stored, pinned or dropped. */
export function changed() {
  others.postMessage('content');
  changes.dispatchEvent(new Event('content'));
}

/** Says that remotes were asked, whatever came of it. */
export function asked() {
  changes.dispatchEvent(new Event('asked'));
}

/** Says that a remote gave something. */
export function fetched(remote) {
  changes.dispatchEvent(new CustomEvent('fetched', { detail: remote }));
}

others.onmessage = async ({ data }) => {
  if (data === 'settings') adopt(await readSettings());
  else changes.dispatchEvent(new Event('content'));
};

/**
 * Takes settings on. Others may be asked from now on only if they say so: the storage is opened anew. What is being stored
 * goes on in the one that is open, which is closed behind it; what is being fetched ends, if nobody may be asked any more.
 */
function adopt(next) {
  const { localOnly, remotes } = settings;
  settings = next;
  if (localOnly !== next.localOnly || remotes.join() !== next.remotes.join()) {
    if (next.localOnly) endFetching();
    const old = opening;
    opening = now = undefined;
    void idle().then(async () => (await old)?.close()).catch(() => {});
  }
  changes.dispatchEvent(new Event('settings'));
}
