// Errors in plain words, with what to do next.

import { h } from './dom.js';

const REASONS = {
  'no-remotes': 'No source is set up to ask. Add one under “Elsewhere”.',
  'force-fallback': '“Local only” is on. Switch it off to let the sources be asked.',
  disabled: 'The network is switched off for this page.',
  'no-network': 'This build has no network.',
  requested: 'It was to be read without a network.',
  disconnected: 'This device is not connected. It can be fetched when it is again.',
  denied: 'The network is denied to this page.',
};

/** A title, what to do next, and details in the engine's own words. */
const WORDS = {
  'invalid-cid': () => ['This is no CID', 'Check that it was copied as a whole: most begin with bafy, bafk or Qm.'],
  'invalid-argument': () => ['This cannot be done so', ''],
  'not-found': () => ['There is nothing at this address', 'Check the path. Names in it are told apart by upper and lower case.'],
  'not-available-offline': ({ reason }) => ['This is not in this browser', REASONS[reason] ?? ''],
  unavailable: ({ attempts = [] }) => [
    'Nobody who was asked gave it',
    attempts.map(({ remote, reason }) => `${remote}: ${reason}`),
  ],
  integrity: () => ['What was sent is not what the address says', 'Nothing of it was kept. Ask somebody else for it.'],
  'quota-exceeded': () => ['There is no room left', 'Free up space, or forget what you do not need. Nothing of this was stored.'],
  corrupt: () => ['The data is damaged', 'What is stored was set aside: “Check everything” can fetch it anew. An archive has to be got again.'],
  denied: () => ['That is refused', ''],
  conflict: () => ['Somebody else was faster', 'Look at it again, and try once more.'],
  locked: () => ['Another tab uses the store', 'Close other tabs of this page and reload: one of them may be newer.'],
  unsupported: () => ['This kind of data is not supported', ''],
  cancelled: () => ['The store was closed meanwhile', 'Try again.'],
  io: () => ['The browser could not read or write', 'Try again. If it stays so, check that the disk has room.'],
};

export function explain(error) {
  const [title, next] = WORDS[error?.code]?.(error) ?? ['This went wrong', ''];
  // Who was asked, and what came of it, is told line by line.
  const detail = error?.attempts ? `${error.cid} is not held here.` : (error?.message ?? String(error));
  return { title, next: [next].flat().filter(Boolean), detail };
}

/** An error as a box. `actions` are buttons for what can be done about it. */
export function problem(error, ...actions) {
  const { title, next, detail } = explain(error);
  return h(
    'div',
    { className: 'problem', role: 'alert' },
    h('strong', {}, title),
    next.map((line) => h('p', {}, line)),
    h('p', { className: 'detail' }, detail),
    actions.length > 0 && h('p', { className: 'actions' }, actions),
  );
}
