// What the app remembers of the user's choices. It lies in the browser's cache storage, which windows and the service worker
// share.

const CACHE = 'settings';
const KEY = '/settings.json';

const DEFAULTS = { localOnly: false, remotes: [], theme: 'auto' };

export async function readSettings() {
  const stored = await (await caches.open(CACHE)).match(KEY);
  return { ...DEFAULTS, ...(await stored?.json()) };
}

export async function changeSettings(change) {
  const settings = { ...(await readSettings()), ...change };
  await (await caches.open(CACHE)).put(KEY, Response.json(settings));
  return settings;
}
