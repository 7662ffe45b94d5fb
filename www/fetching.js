// Getting what is not in this browser.

import { h } from './dom.js';
import { bytes } from './format.js';
import { suggestions } from './remotes.js';
import { record } from './sources.js';
import { asked, changed, current, set, store } from './store.js';
import { task } from './tasks.js';

/** Larger files are fetched when that is asked for; until then as one looks at them. */
const AT_ONCE = 64e6;

/**
 * Fetches a file as a whole: each block is proven and kept. Resolves to false for what is no file, or is large, unless `always`
 * is set; rejects when it cannot be had.
 */
export async function fetchFile(path, title, { always = false } = {}) {
  const sources = record(path);
  const work = async ({ signal, progress }) => {
    let from;
    let size;
    const onFetched = (fetched) => {
      sources.add(fetched);
      from = fetched;
    };
    const onProgress = ({ done, total }) => {
      size = total;
      progress({ done, total, text: from && `from ${from.remote}` });
    };
    const pieces = (await store()).stream(path, { signal, onFetched, onProgress }).getReader();
    for (;;) {
      const { done } = await pieces.read();
      if (done) break;
      if (size > AT_ONCE && !always) {
        await pieces.cancel();
        return undefined;
      }
    }
    sources.end();
    changed();
    return from ? `${bytes(from.bytes)} came, each block proven.` : 'All of it was here already.';
  };
  try {
    return await task(['Fetching', 'Fetched', title], work, { rethrow: true, fetches: true });
  } catch (error) {
    if (error.code === 'unsupported') return false; // a directory, most likely
    throw error;
  } finally {
    asked();
  }
}

/** What is said of something that is not here, and what can be done. */
export function absent(path, fetch) {
  const { localOnly, remotes } = current();
  const ready = !localOnly && remotes.length > 0;
  return h(
    'section',
    { className: 'welcome' },
    h('h1', {}, 'This is not in this browser'),
    ready && h('p', {}, `These may have it: ${remotes.join(', ')}. What comes is proven, block by block, before it is kept.`),
    localOnly && h('p', {}, '“Local only” is on, so nobody is asked.'),
    !localOnly && remotes.length === 0 && h('p', {}, 'Nobody is set up to be asked. A gateway learns what you fetch from it, but cannot lie to you: what it sends is proven.'),
    h(
      'p',
      { className: 'actions' },
      ready && h('button', { className: 'primary', onclick: fetch }, 'Fetch it'),
      localOnly && h('button', { onclick: () => set({ localOnly: false }) }, 'Switch “Local only” off'),
      !localOnly && remotes.length === 0 && suggestions(),
    ),
  );
}
