// HTTP by `fetch`, and waiting, in the terms of the engine: what is let go of is ended.

/** One request and its response. */
export class Exchange {
  #controller = new AbortController();
  #reader;

  /** Sends it; gives the status, then the names and values of the headers. `headers` likewise. */
  async send(method, url, headers, body) {
    const pairs = Array.from({ length: headers.length / 2 }, (_, at) => headers.slice(2 * at, 2 * at + 2));
    const response = await fetch(url, {
      method,
      headers: pairs,
      body,
      signal: this.#controller.signal,
      // What a gateway sends is proven and kept here; nobody needs to know who asks.
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    });
    this.#reader = response.body?.getReader();
    return [response.status, ...[...response.headers].flat()];
  }

  /** The next bytes of the body; undefined at its end. */
  async next() {
    return (await this.#reader?.read())?.value;
  }

  end() {
    this.#controller.abort();
  }
}

export class Timer {
  #timer;
  #done;

  constructor(milliseconds) {
    this.#done = new Promise((resolve) => (this.#timer = setTimeout(resolve, milliseconds)));
  }

  done() {
    return this.#done;
  }

  end() {
    clearTimeout(this.#timer);
  }
}

/** False only where the browser knows that there is no network. */
export function isOnline() {
  return globalThis.navigator?.onLine !== false;
}
