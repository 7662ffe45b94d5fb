// The service worker: the page works without a network once it is there, and `/ipfs/…` is answered by it.

import { at, h, render } from './dom.js';

const workers = navigator.serviceWorker;

export async function installWorker() {
  if (workers === undefined) return;
  const first = workers.controller === null;
  workers.addEventListener('controllerchange', () => first || location.reload());
  const registration = await workers.register('sw.js', { type: 'module', updateViaCache: 'none' });
  const offer = () => registration.waiting && workers.controller && announce(registration.waiting);
  offer();
  registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', offer));
}

/** Whether there is a service worker that answers for this page; waits for one that is on its way. */
export async function served() {
  if (workers === undefined) return false;
  if (workers.controller === null) {
    await new Promise((resolve) => {
      workers.addEventListener('controllerchange', resolve, { once: true });
      setTimeout(resolve, 10_000);
    });
  }
  return workers.controller !== null;
}

function announce(worker) {
  at('news').hidden = false;
  render(at('news'), 'There is a newer version of this page. ', h('button', { onclick: () => worker.postMessage('take-over') }, 'Use it'));
}
