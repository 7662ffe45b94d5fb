// Looking after the store: dropping what nothing needs, and checking the rest.

import { ask } from './ask.js';
import { h } from './dom.js';
import { bytes, count, short } from './format.js';
import { changed, current, store } from './store.js';
import { complain, task, tell } from './tasks.js';

export async function freeSpace() {
  let would;
  try {
    would = await (await store()).collect({ dryRun: true });
  } catch (error) {
    return complain(error);
  }
  if (would.obstacles.length > 0) {
    return tell('Nothing can be freed now', h('p', {}, `Of ${would.obstacles.map(short).join(', ')} something is missing, so that nobody can tell what it needs. “Check everything” may fetch it; or forget it.`));
  }
  if (would.freedBlocks === 0) {
    return tell('There is nothing to free', h('p', {}, 'All that is here belongs to something that is stored or pinned. To get room back, forget some of it.'));
  }
  const text = `${count(would.freedBlocks, 'block')} (${bytes(would.freedBytes)}) belong to nothing that is stored or pinned: parts of files that were looked at, and the like.`;
  if (!(await ask('Free up space?', text, `Free ${bytes(would.freedBytes)}`))) return;
  await task(['Freeing', 'Freed', 'up space'], async ({ signal, progress }) => {
    const onProgress = ({ examined, held, freedBytes }) => progress({ text: `${count(examined, 'block')} of ${held.toLocaleString('en')}, ${bytes(freedBytes)} freed` });
    const { freedBlocks, freedBytes, postponed } = await (await store()).collect({ signal, onProgress });
    changed();
    return `${bytes(freedBytes)} in ${count(freedBlocks, 'block')} freed${postponed ? '; the rest waits for another tab' : ''}`;
  });
}

export async function checkAll() {
  const work = async ({ signal, progress }) => {
    const onProgress = ({ blocks, total, bytes: done }) => progress({ text: `${blocks.toLocaleString('en')} of ${count(total, 'block')}, ${bytes(done)}` });
    const report = await (await store()).verify({ signal, onProgress, repair: !current().localOnly });
    changed();
    const { checked, bytes: read, sound, findings } = report;
    const summary = `${count(checked, 'block')} (${bytes(read)}) hashed`;
    if (findings.length === 0) return `${summary}: all as they should be`;
    return [
      h('p', {}, `${summary}. ${sound ? 'What was wrong is repaired.' : 'Not all is well:'}`),
      h('ul', {}, findings.slice(0, 5).map(({ fault, cid, found, repaired, detail }) => h('li', {}, `${fault}: ${cid ? short(cid) : ''} ${found} found, ${repaired} repaired. ${detail}`))),
    ];
  };
  await task(['Checking', 'Checked', 'everything'], work, { fetches: true });
}
