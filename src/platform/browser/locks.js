// Who of those that have the same database open relies on blocks that no root reaches yet, and who drops blocks. They are
// Web Locks, because a tab that dies gives them back without doing anything.
//
//   use    shared: held by each opening in which something is under way; exclusive: by the one that drops blocks
//   sweep  held by who drops, or tries to. Only its holder asks for `use` exclusively, so that nobody can drop anything
//          while it has given back its own share of `use` for that

/** What one opening of a database holds. */
export class Locks {
  #use;
  #sweep;
  /** How many are under way here. */
  #users = 0;
  /** How many here drop blocks, or want to. */
  #sweepers = 0;
  /** Locks that are held, as functions that give them back. */
  #shared;
  #exclusive;
  #sweeping;
  #closed = false;
  /** What is held is changed by one at a time. */
  #turn = Promise.resolve();

  constructor(name) {
    this.#use = `ipfs-kit-storage ${name} use`;
    this.#sweep = `ipfs-kit-storage ${name} sweep`;
  }

  /** Something is under way here until `leave`, which is called once for each call. Waits while others drop blocks. */
  enter() {
    this.#users += 1;
    return this.#next(() => this.#settle());
  }

  leave() {
    this.#users -= 1;
    this.#next(() => this.#settle()).catch(() => {});
  }

  /** Whether blocks may be dropped here until `ended`, which is called once for each call, whatever came of it. */
  alone() {
    this.#sweepers += 1;
    return this.#next(() => this.#exclude());
  }

  ended() {
    this.#sweepers -= 1;
    this.#next(() => this.#settle()).catch(() => {});
  }

  /** Gives everything back; what is under way cannot write any more. */
  close() {
    this.#closed = true;
    this.#next(() => this.#settle()).catch(() => {});
  }

  #next(change) {
    const done = this.#turn.then(change);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Brings what is held to what is needed now. */
  async #settle() {
    if (!navigator.locks) return;
    if (this.#exclusive && (this.#sweepers === 0 || this.#closed)) {
      await this.#exclusive();
      this.#exclusive = undefined;
      await this.#share();
      await this.#sweeping();
      this.#sweeping = undefined;
    }
    if (!this.#exclusive) await this.#share();
  }

  /** Takes a share of `use`, or gives it back. */
  async #share() {
    const needed = this.#users > 0 && !this.#closed;
    if (needed && !this.#shared) {
      this.#shared = await hold(this.#use, { mode: 'shared' });
    } else if (!needed && this.#shared) {
      await this.#shared();
      this.#shared = undefined;
    }
  }

  /** Excludes the others, if none of them is under way. */
  async #exclude() {
    // Where there are no locks nobody can tell, and nothing is dropped.
    if (this.#closed || !navigator.locks) return false;
    if (this.#exclusive) return true;
    this.#sweeping = await hold(this.#sweep, { ifAvailable: true });
    if (!this.#sweeping) return false;
    try {
      await this.#shared?.();
      this.#shared = undefined;
      this.#exclusive = await hold(this.#use, { ifAvailable: true });
      if (!this.#exclusive) await this.#share();
    } finally {
      if (!this.#exclusive) {
        await this.#sweeping();
        this.#sweeping = undefined;
      }
    }
    return this.#exclusive !== undefined;
  }
}

/** A lock, as a function that gives it back and settles when that is done; undefined if it is not available. */
function hold(name, options) {
  return new Promise((resolve, reject) => {
    const ended = navigator.locks.request(name, options, (lock) => {
      if (!lock) return resolve();
      return new Promise((end) => {
        resolve(() => {
          end();
          return ended.catch(() => {});
        });
      });
    });
    ended.catch(reject);
  });
}
