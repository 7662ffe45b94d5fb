// Does what is due for a store's backends while nobody waits for it: at once when something was stored, later when something
// is due later, and when the network is back.

/** Timers take no more than this. */
const LONGEST = 2 ** 31 - 1;
/** When that is, if a call failed that should not: the tab that had the store open is gone, say. In milliseconds. */
const AFTER_FAILURE = 10_000;
/** What is due at once may not be done at once: somebody else is at it. */
const SHORTEST = 100;

export class Drain {
  #sync;
  #timer;
  #underWay = false;
  #again = false;
  #closed = false;

  /** `sync` does what is due, and gives its report. */
  constructor(sync) {
    this.#sync = sync;
    globalThis.addEventListener?.('online', this.kick);
    this.kick();
  }

  /** There may be something to do. */
  kick = () => {
    if (this.#closed) return;
    this.#again = true;
    if (!this.#underWay) this.#run();
  };

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.('online', this.kick);
  }

  async #run() {
    this.#underWay = true;
    clearTimeout(this.#timer);
    let due;
    while (this.#again && !this.#closed) {
      this.#again = false;
      due = await this.#sync().then(
        ({ next, offline }) => (offline === undefined ? next : undefined),
        () => Date.now() + AFTER_FAILURE, // what is wrong with a delivery is in its record
      );
    }
    this.#underWay = false;
    if (due === undefined || this.#closed) return;
    const wait = Math.min(Math.max(due - Date.now(), SHORTEST), LONGEST);
    this.#timer = setTimeout(this.kick, wait);
    this.#timer.unref?.(); // it keeps no process of Node alive
  }
}
