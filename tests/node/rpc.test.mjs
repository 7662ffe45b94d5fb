// The calls between a page and its worker, over a port: what is copied, what stays, and what is let go of.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const NPM = fileURLToPath(new URL('../../src/bindings/browser/npm/', import.meta.url));
const { Cancel, deferred, Endpoint, Gone, lasting } = await import(join(NPM, 'rpc.js'));
const { CorruptError } = await import(join(NPM, 'errors.js'));

const turn = () => new Promise((resolve) => setTimeout(resolve, 10));

/** Two ends of a port; the far one has `root`. */
function pair(root, options = {}) {
  const { port1, port2 } = new MessageChannel();
  const near = new Endpoint(port1);
  const far = new Endpoint(port2, { root, owned: true, ...options });
  const end = () => [port1, port2].forEach((port) => port.close());
  return { near, far, call: near.root, end };
}

test('bytes go over as copies, and come back as they are', async (t) => {
  let given;
  const { call, end } = pair({
    take: (...args) => void (given = args),
    make: () => ({ bytes: made, part: made.subarray(2, 4) }),
  });
  t.after(end);
  const made = Uint8Array.of(1, 2, 3, 4, 5);
  const large = new Uint8Array(1 << 20).fill(7);
  const [part, empty] = [large.subarray(5, 8), new Uint8Array()];
  await call.take(part, { list: [part, large, empty] }, 'text', 1n, undefined, null);
  assert.equal(large.length, 1 << 20, 'nobody has taken it');
  assert.deepEqual([...given[0]], [7, 7, 7]);
  assert.equal(given[0].buffer.byteLength, (1 << 20) + 6, 'what is not meant is not copied');
  assert.deepEqual(given[1].list.map(({ length }) => length), [3, 1 << 20, 0]);
  assert.deepEqual(given.slice(2), ['text', 1n, undefined, null]);
  const got = await call.make();
  assert.deepEqual([[...got.bytes], [...got.part]], [[1, 2, 3, 4, 5], [3, 4]]);
  assert.equal(made.length, 0, 'it went over as it was');
});

test('what is no plain object stays none, and what is in itself ends', async (t) => {
  class Strange {
    a = 1;
  }
  class Cid {
    '/' = Uint8Array.of(1);
    get asCID() {
      return this;
    }
  }
  const plain = (value) => Object.getPrototypeOf(Object.getPrototypeOf(value)) === null;
  const { call, end } = pair({
    look: (value) => [plain(value.strange), plain(value.symbol), value.cid.asCID, [...value.cid['/']], typeof value.f],
    deep: (value) => {
      let depth = 0;
      for (; value; value = value.inner) depth += 1;
      return depth;
    },
    names: (value) => [Object.keys(value), Object.getPrototypeOf(value) === Object.prototype],
  });
  t.after(end);
  const told = await call.look({ strange: new Strange(), symbol: Symbol(), cid: new Cid(), f: () => {} });
  assert.deepEqual(told, [false, false, true, [1], 'function']);
  const itself = {};
  itself.inner = itself;
  assert.ok((await call.deep(itself)) > 256);
  const [names, own] = await call.names(JSON.parse('{"__proto__": {"x": 1}, "y": 2}'));
  assert.deepEqual([names, own], [['__proto__', 'y'], true]);
});

test('functions are called back in order, and let go of with the call, or with the object that it gave', async (t) => {
  let kept;
  let freed = 0;
  const { near, call, end } = pair({
    steps: async (told) => {
      told(1);
      told(2);
      kept = told;
      return 'done';
    },
    reader: (told) => ({ length: 5, next: () => told('again'), free: () => (freed += 1) }),
    listen: (told) => void (kept = told),
  });
  t.after(end);
  const steps = [];
  assert.equal(await call.steps((step) => steps.push(step)), 'done');
  assert.deepEqual(steps, [1, 2]);
  await assert.rejects(kept(3), 'nobody is there any more');
  const reader = await call.reader((word) => word.toUpperCase());
  assert.deepEqual([reader.length, await reader.next()], [5, 'AGAIN']);
  reader.free();
  await turn();
  assert.equal(freed, 1);
  await assert.rejects(reader.next());
  await call.listen(lasting((word) => steps.push(word)));
  await kept('later');
  assert.deepEqual(steps, [1, 2, 'later']);
  near.end();
});

test('a function that has to answer at once does so when the call returns', async (t) => {
  const { call, end } = pair({ value: (link) => ({ list: [link('a'), { inner: link('b') }] }) });
  t.after(end);
  assert.deepEqual(await call.value(deferred((cid) => new URL(`ipfs://${cid}`))), {
    list: [new URL('ipfs://a'), { inner: new URL('ipfs://b') }],
  });
  const failing = deferred(() => {
    throw new TypeError('no');
  });
  await assert.rejects(call.value(failing), { code: 'invalid-argument' });
});

test('cancels end the calls that they are given to, signals abort what they are given to', async (t) => {
  let cancelled = 0;
  class Own {
    cancel() {
      cancelled += 1;
      this.reject?.({ code: 'cancelled', message: 'it was' });
    }
    free() {}
  }
  const { call, end } = pair(
    {
      wait: (cancel) => new Promise((resolve, reject) => (cancel.reject = reject)),
      once: (cancel) => cancel instanceof Own,
      abort: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('aborted'))),
      aborted: ({ signal }) => signal.aborted,
    },
    { newCancel: () => new Own() },
  );
  t.after(end);
  const cancel = new Cancel();
  assert.equal(await call.once(cancel), true);
  const waiting = [call.wait(cancel), call.wait(cancel)];
  setTimeout(() => cancel.cancel());
  for (const each of waiting) await assert.rejects(each, { code: 'cancelled' });
  assert.equal(cancelled, 2, 'the call that had ended was let alone');
  await assert.rejects(call.wait(cancel), { code: 'cancelled' });
  const stop = new AbortController();
  const aborting = call.abort({ signal: stop.signal });
  setTimeout(() => stop.abort());
  assert.equal(await aborting, 'aborted');
  assert.equal(await call.aborted({ signal: stop.signal }), true);
});

test('errors are of their classes', async (t) => {
  const { call, end } = pair({
    typed: () => Promise.reject({ code: 'corrupt', message: 'bad', cid: 'c' }),
    other: () => {
      throw new RangeError('mine');
    },
    dom: () => {
      throw new DOMException('gone', 'NotFoundError');
    },
  });
  t.after(end);
  const typed = await call.typed().catch((error) => error);
  assert.ok(typed instanceof CorruptError);
  assert.deepEqual([typed.message, typed.cid], ['bad', 'c']);
  for (const [method, name, message] of [['other', 'RangeError', 'mine'], ['dom', 'NotFoundError', 'gone']]) {
    const error = await call[method]().catch((thrown) => thrown);
    assert.ok(error instanceof Error);
    assert.deepEqual([error.name, error.message], [name, message]);
  }
});

test('when the other end is gone, calls fail, and what it had here is let go of', async (t) => {
  let freed = 0;
  const { near, far, call, end } = pair({ open: () => ({ wait: () => new Promise(() => {}), free: () => (freed += 1) }) });
  t.after(end);
  const object = await call.open();
  const waiting = object.wait();
  far.end();
  assert.equal(freed, 1);
  near.end();
  await assert.rejects(waiting, Gone);
  await assert.rejects(object.wait(), { code: 'io', name: 'IoError' });
});
