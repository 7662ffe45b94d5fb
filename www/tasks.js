// What is going on: a card for each, with its progress, its rate, and a way to end it.

import { at, h, say } from './dom.js';
import { bytes } from './format.js';
import { icon } from './icons.js';
import { explain, problem } from './problems.js';

/** A finished card stays for so long. */
const STAY = 8000;

/** Finished cards that are left standing. */
const LEFT = 3;

/** What is running. */
const running = new Set();

/** Ends what asks others. */
export function endFetching() {
  for (const { fetches, controller } of running) if (fetches) controller.abort();
}

/** Waits until nothing is running of what is running now. */
export async function idle() {
  await Promise.allSettled([...running].map(({ ended }) => ended));
}

/**
 * Runs something that takes a while, named as it goes on, when it is done, and by what it concerns. `work` gets a signal, and `progress({ done, total, text })`; it gives what the card says
 * when it is done; undefined if there is nothing to say. Resolves to whether it succeeded. A failure is shown, or with `rethrow`
 * left to the caller. `fetches` says that others may be asked.
 */
export async function task([doing, done, what], work, { rethrow = false, fetches = false } = {}) {
  const controller = new AbortController();
  const run = { fetches, controller };
  run.ended = new Promise((resolve) => (run.end = resolve));
  running.add(run);
  const title = `${doing} ${what}`;
  const name = h('strong', {}, title);
  const bar = h('progress', { max: 1, 'aria-label': title });
  const figures = h('p', { className: 'figures' }, 'Starting');
  const end = h('button', { className: 'quiet', 'aria-label': `Cancel: ${title}`, onclick: () => controller.abort() }, icon('close'));
  const card = h('article', { className: 'task' }, h('div', { className: 'head' }, name, end), bar, figures);
  at('tasks').append(card);
  say(title);
  const rate = meter();
  const progress = ({ done: far = 0, total, text }) => {
    if (total) bar.value = far / total;
    const parts = [total ? `${bytes(far)} of ${bytes(total)}` : far > 0 && bytes(far), far > 0 && rate(far, total), text];
    figures.textContent = parts.filter(Boolean).join(' · ');
  };
  end.onclick = () => controller.abort();
  try {
    const result = await work({ signal: controller.signal, progress });
    if (result === undefined) card.remove();
    else finish(card, h('strong', {}, `${done} ${what}`), result);
    return result !== undefined;
  } catch (error) {
    if (controller.signal.aborted || rethrow) card.remove();
    else finish(card, undefined, problem(error));
    say(controller.signal.aborted ? `Cancelled: ${title}` : explain(error).title);
    if (rethrow && !controller.signal.aborted) throw error;
    return false;
  } finally {
    running.delete(run);
    run.end();
  }
}

/** A card that says something once. */
export function tell(title, ...content) {
  const card = h('article', { className: 'task' });
  at('tasks').append(card);
  finish(card, h('strong', {}, title), content);
}

/** A card that says what went wrong. */
export function complain(error) {
  const card = h('article', { className: 'task' });
  at('tasks').append(card);
  finish(card, undefined, problem(error));
}

function finish(card, name, content) {
  const failed = name === undefined;
  const close = h('button', { className: 'quiet', 'aria-label': 'Dismiss', onclick: () => card.remove() }, icon('close'));
  card.classList.add(failed ? 'failed' : 'done');
  card.replaceChildren(h('div', { className: 'head' }, ...(failed ? [h('span')] : [icon('check'), name]), close), ...[content ?? ''].flat());
  for (const old of [...at('tasks').querySelectorAll('.done')].slice(0, -LEFT)) old.remove();
  if (failed) return;
  say(card.textContent);
  const leave = () => (card.matches(':hover, :focus-within') ? setTimeout(leave, 2000) : card.remove());
  setTimeout(leave, STAY);
}

/** Bytes a second over the last seconds, and how long the rest takes. */
function meter() {
  const seen = [];
  return (done, total) => {
    const now = performance.now();
    seen.push([now, done]);
    while (now - seen[0][0] > 4000) seen.shift();
    const [[since, before]] = seen;
    if (now - since < 300) return undefined;
    const rate = ((done - before) / (now - since)) * 1000;
    const left = total && rate > 0 ? (total - done) / rate : 0;
    return `${bytes(rate)}/s${left > 2 ? ` · ${Math.ceil(left)} s left` : ''}`;
  };
}
