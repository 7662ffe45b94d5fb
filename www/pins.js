// Pinning, and the button that shows and changes it.

import { ask } from './ask.js';
import { h } from './dom.js';
import { short } from './format.js';
import { icon } from './icons.js';
import { changed, store } from './store.js';
import { record } from './sources.js';
import { complain, task } from './tasks.js';

/** All pins, by their CIDs. */
export async function allPins() {
  const pins = new Map();
  for await (const pin of (await store()).pins()) pins.set(pin.cid, pin);
  return pins;
}

/** Pins a root, and fetches what of it is missing. */
export function pinAll(cid, name) {
  const work = async ({ signal, progress }) => {
    const sources = record(cid);
    const onFetched = (fetched) => {
      sources.add(fetched);
      progress({ done: fetched.bytes, text: `from ${fetched.remote}` });
    };
    try {
      const pin = await (await store()).pin(cid, { name, signal, onFetched });
      sources.end(pin.blocks);
      return 'All of it is in this browser, and stays.';
    } finally {
      changed();
    }
  };
  return task(['Pinning', 'Pinned', name], work, { fetches: true });
}

/** What shows whether something is pinned, and changes it. */
export function pinButton({ cid, filename, pinned }, { label = false } = {}) {
  const name = filename ?? cid;
  const text = pinned ? 'Pinned' : 'Pin';
  const button = h(
    'button',
    {
      className: `pin ${label ? '' : 'quiet'}`,
      'aria-pressed': String(pinned),
      'aria-label': `Pin ${name}`,
      'data-key': `pin ${cid}`,
      title: pinned ? 'Pinned: it stays, whatever happens. Press to let it go.' : 'Pin it: then it stays, whatever happens.',
      onclick: () => toggle({ cid, filename: filename ?? short(cid), pinned }).catch((error) => complain(error)),
    },
    icon('pin'),
    label && text,
  );
  return button;
}

async function toggle({ cid, filename, pinned }) {
  const storage = await store();
  if (!pinned) return void (await pinAll(cid, filename));
  await storage.unpin(cid);
  changed();
}

/** Forgets a root, after a question. Resolves to whether it is gone. */
export async function forget({ cid, filename, pinned }) {
  const name = filename ?? cid;
  const text = ['What nothing else needs of it is deleted from this browser. Others who have it keep it.'];
  if (pinned) text.unshift('It is pinned. Its pin goes with it.');
  if (!(await ask(`Forget ${name}?`, text, 'Forget it', { dangerous: true }))) return false;
  try {
    await (await store()).delete(cid, { force: pinned });
    return true;
  } catch (error) {
    complain(error);
    return false;
  } finally {
    changed();
  }
}
