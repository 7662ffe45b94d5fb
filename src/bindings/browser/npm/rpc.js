// Calls of objects at the other end of a port, both ways. What is passed is copied, but for
//
//   functions          stay where they are, and are called from there; or when the call returns, if they are `deferred`
//   AbortSignals       abort there when they do here
//   Cancels            end, there, the calls that they are given to
//   what has a `free`  stays where it is; the other end has a stand-in with its methods
//
// Bytes that are passed in a call are copied first, into one buffer, which goes over whole: nobody's memory is taken away, and
// none is copied that is not meant. What the engine returns is its caller's, and goes over as it is.

import { asError, InvalidArgumentError, IoError } from './errors.js';

/** What a stand-in stands for. */
const STANDS_FOR = Symbol();
/** Properties that a stand-in has at once. */
const KNOWN = ['length', 'size', 'position'];
/** Deeper than anything that the engine takes: what is in itself has to end somewhere. */
const MAX_DEPTH = 300;

/** Ends the calls it was given to. */
export class Cancel {
  #calls = new Set();
  #cancelled = false;

  cancel() {
    this.#cancelled = true;
    for (const end of this.#calls) end();
  }

  /** Has `end` called when this is cancelled, until the call has ended. */
  follow(end, ended) {
    this.#calls.add(end);
    if (this.#cancelled) end();
    const forget = () => this.#calls.delete(end);
    ended.then(forget, forget);
  }

  free() {}
}

/** What calls reject with when the other end is gone. */
export class Gone extends IoError {
  constructor() {
    super('the tab that had the store open is gone, and this call with it; call again', { code: 'io' });
  }
}

export class Endpoint {
  #port;
  /** What makes a Cancel of the engine here. */
  #newCancel;
  /** Whether bytes that a call from there returns are that caller's own. */
  #owned;
  /** Called after each call from there. */
  #served;
  #ended;
  /** What the other end can call: objects and functions, by number. */
  #shown = new Map();
  /** Calls under way there, and here. */
  #calls = new Map();
  #serving = new Map();
  #signals = new Map();
  #next = 1;
  #gone;

  /** `root` is what the other end can call from the start. */
  constructor(port, { root, newCancel, owned = false, served, ended } = {}) {
    this.#port = port;
    this.#newCancel = newCancel;
    this.#owned = owned;
    this.#served = served;
    this.#ended = ended;
    this.#shown.set(0, root);
    port.onmessage = ({ data: [kind, ...rest] }) => this.#handlers[kind]?.(...rest);
  }

  /** Calls a method of an object there; without a name, a function. */
  call(target, method, args) {
    if (this.#gone) return Promise.reject(this.#gone);
    const id = this.#next++;
    const shown = [];
    let resolve, reject;
    const called = new Promise((...both) => ([resolve, reject] = both));
    const cancel = args.find((argument) => argument instanceof Cancel);
    try {
      const { message, transfer } = this.#pack(args, shown, false);
      this.#port.postMessage(['call', id, target, method, ...message], transfer);
    } catch (error) {
      this.#hide(shown);
      return Promise.reject(error);
    }
    this.#calls.set(id, { resolve, reject, shown });
    cancel?.follow(() => this.#post('end', id), called);
    return called;
  }

  /** The stand-in for what is there from the start. */
  get root() {
    return this.#standIn(0, {}, []);
  }

  /** Ends everything: the other end is gone, or nobody is to use it any more. */
  end(reason = new Gone()) {
    if (this.#gone) return;
    this.#gone = reason;
    this.#port.close?.();
    for (const { reject } of this.#calls.values()) reject(reason);
    for (const { cancel } of this.#serving.values()) cancel?.cancel();
    for (const controller of this.#signals.values()) controller.abort(reason);
    for (const object of this.#shown.values()) object?.free?.();
    this.#shown.clear();
    this.#calls.clear();
    this.#ended?.();
  }

  #post(...message) {
    if (!this.#gone) this.#port.postMessage(message);
  }

  #handlers = {
    call: (id, target, method, holder, specials) => this.#serve(id, target, method, holder, specials),
    done: (id, holder, specials) => {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (call === undefined) return;
      try {
        const keeps = this.#unpack(holder, specials, call.shown);
        // What the object that was returned may still call, it keeps.
        if (!keeps) this.#hide(call.shown.filter((number) => !this.#shown.get(number)?.lasts));
        call.resolve(holder.value);
      } catch (error) {
        call.reject(error);
      }
    },
    failed: (id, error) => {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      this.#hide(call?.shown ?? []);
      call?.reject(asError(error.isError ? Object.assign(new Error(error.message), error) : error));
    },
    end: (id) => this.#serving.get(id)?.cancel?.cancel(),
    abort: (id) => this.#signals.get(id)?.abort(),
    free: (number) => {
      this.#shown.get(number)?.free?.();
      this.#shown.delete(number);
    },
  };

  async #serve(id, target, method, holder, specials) {
    const serving = { signals: [] };
    this.#serving.set(id, serving);
    try {
      this.#unpack(holder, specials, [], serving);
      const object = this.#shown.get(target);
      const value = await (method === undefined ? object(...holder.value) : object[method](...holder.value));
      const { message, transfer } = this.#pack(value, [], this.#owned);
      if (!this.#gone) this.#port.postMessage(['done', id, ...message], transfer);
    } catch (error) {
      this.#post('failed', id, plain(error));
    }
    this.#served?.();
    serving.cancel?.free();
    serving.signals.forEach((signal) => this.#signals.delete(signal));
    this.#serving.delete(id);
  }

  #hide(numbers) {
    for (const number of numbers) this.#shown.delete(number);
  }

  #show(object, shown) {
    const number = this.#next++;
    this.#shown.set(number, object);
    shown.push(number);
    return number;
  }

  /** A copy of what can be copied, and a list of what cannot: where it belongs, and what it is. */
  #pack(value, shown, owned) {
    const specials = [];
    const bytes = [];
    const transfer = [];
    const copy = (value, holder, key, depth) => {
      const special = (...what) => void specials.push([holder, key, ...what]);
      if (typeof value === 'function') {
        return special(value.deferred ? 'deferred' : 'function', this.#show(value, shown));
      }
      if (value instanceof Deferred) return special('answer', value.number, value.argument);
      if (typeof value === 'symbol') return special('alien');
      if (typeof value !== 'object' || value === null) return value;
      if (depth > MAX_DEPTH) return null;
      if (value instanceof Uint8Array) {
        if (owned && value.byteLength === value.buffer.byteLength && !transfer.includes(value.buffer)) {
          transfer.push(value.buffer);
          return value;
        }
        return void bytes.push([holder, key, value]);
      }
      if (Array.isArray(value)) {
        const array = [];
        for (let at = 0; at < value.length; at++) array[at] = copy(value[at], array, at, depth + 1);
        return array;
      }
      if (value[STANDS_FOR] !== undefined) return special('yours', value[STANDS_FOR]);
      if (value instanceof Cancel) return special('cancel');
      if (value instanceof MessagePort) {
        transfer.push(value);
        return value;
      }
      if (value instanceof AbortSignal) {
        const number = this.#next++;
        value.addEventListener('abort', () => this.#post('abort', number), { once: true });
        return special('signal', number, value.aborted);
      }
      if (typeof value.free === 'function') {
        const known = KNOWN.filter((name) => name in value).map((name) => [name, value[name]]);
        return special('object', this.#show(value, shown), Object.fromEntries(known));
      }
      const prototype = Object.getPrototypeOf(value);
      if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
        // A CID of other libraries is known by these two.
        if (value['/'] instanceof Uint8Array && value.asCID !== undefined) {
          return copy({ '/': value['/'], asCID: true }, holder, key, depth);
        }
        return isOfTheHost(value) ? value : special('alien');
      }
      if (isOfTheHost(value)) return value;
      const object = {};
      for (const [name, inner] of Object.entries(value)) {
        define(object, name, copy(inner, object, name, depth + 1));
      }
      return object;
    };
    const holder = {};
    holder.value = copy(value, holder, 'value', 0);
    if (bytes.length > 0) {
      const whole = new Uint8Array(bytes.reduce((sum, [, , { length }]) => sum + length, 0));
      let at = 0;
      for (const [holder, key, part] of bytes) {
        whole.set(part, at);
        define(holder, key, whole.subarray(at, (at += part.length)));
      }
      transfer.push(whole.buffer);
    }
    return { message: [holder, specials], transfer };
  }

  /** Puts in what could not be copied; tells whether there is a stand-in among it. */
  #unpack(holder, specials, shown = [], serving = undefined) {
    let keeps = false;
    for (const [where, key, kind, number, more] of specials) {
      const make = {
        function: () => (...args) => {
          const called = this.call(number, undefined, args);
          called.catch(() => {}); // not everybody listens
          return called;
        },
        deferred: () => (argument) => new Deferred(number, argument),
        answer: () => {
          try {
            return this.#shown.get(number)(more);
          } catch (thrown) {
            throw new InvalidArgumentError(`a function failed for ${more}: ${thrown}`, { code: 'invalid-argument' });
          }
        },
        alien: () => new (class {})(),
        yours: () => this.#shown.get(number),
        cancel: () => (serving.cancel = this.#newCancel()),
        signal: () => {
          const controller = new AbortController();
          if (more) controller.abort();
          this.#signals.set(number, controller);
          serving.signals.push(number);
          return controller.signal;
        },
        object: () => {
          keeps = true;
          return this.#standIn(number, more, shown);
        },
      };
      define(where, key, make[kind]());
    }
    return keeps;
  }

  #standIn(number, known, shown) {
    const methods = {
      [STANDS_FOR]: number,
      ...known,
      then: undefined, // it is no promise
      free: () => {
        this.#hide(shown);
        this.#post('free', number);
      },
    };
    return new Proxy(methods, {
      get: (methods, name) =>
        name in methods || typeof name === 'symbol' ? methods[name] : (...args) => this.call(number, name, args),
    });
  }
}

/** A listener that is told after the call that it was given to, too. */
export function lasting(listener) {
  return Object.assign((...args) => listener(...args), { lasts: true });
}

/** A function of one argument that has to answer at once: it is called here, when what it is part of has come back. */
export function deferred(call) {
  return Object.assign((argument) => call(argument), { deferred: true });
}

class Deferred {
  constructor(number, argument) {
    Object.assign(this, { number, argument });
  }
}

/** Sets a property of its own, also one called `__proto__`. */
function define(object, name, value) {
  if (name !== '__proto__') return void (object[name] = value);
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

/** What browsers copy themselves. */
function isOfTheHost(value) {
  return !['Object', 'Array'].includes(Object.prototype.toString.call(value).slice(8, -1));
}

/** An error as it can be copied. */
function plain(error) {
  if (!(error instanceof Error) && !(error instanceof DOMException)) return error;
  const { name, message, code, ...details } = error;
  return { ...details, name, message, isError: true, ...(typeof code === 'string' && { code }) };
}
