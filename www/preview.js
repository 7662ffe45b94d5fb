// A look at a file. Pictures, media and pages come from the service worker, range by range as the browser asks for them.

import { urlOf } from './address.js';
import { h } from './dom.js';
import { bytes } from './format.js';
import { contentType } from './npm/gateway.js';
import { served } from './offline.js';
import { problem } from './problems.js';
import { store } from './store.js';

/** Of a text so much is shown, */
const TEXT_BYTES = 128 * 1024;
/** and so much tells of what type a file is. */
const SNIFF_BYTES = 512;

/** An element that shows a file; undefined if that is of no kind that can be shown. */
export async function preview(path, { size }, name) {
  const storage = await store();
  try {
    const known = contentType(name);
    const type = known ?? contentType(name, await storage.retrieve(path, { length: SNIFF_BYTES }));
    const text = /^text\/(?!html)|json|^image\/svg/.test(type) && !/^image/.test(type);
    if (text) return await written(storage, path, size);
    if (!/^(image|video|audio)\/|^text\/html|pdf$/.test(type)) return undefined;
    if (!(await served())) return h('p', { className: 'soft' }, 'Previews need a service worker, which this browser does not offer here.');
    return shown(type, urlOf(path, { filename: name }), name);
  } catch (error) {
    return problem(error);
  }
}

function shown(type, src, name) {
  const failed = (event) => event.target.replaceWith(h('p', { className: 'soft' }, 'This browser cannot show it. Save it, and open it with a program that can.'));
  if (type.startsWith('image/')) return h('img', { src, alt: name, onerror: failed });
  if (type.startsWith('video/')) return h('video', { src, controls: true, preload: 'metadata', playsInline: true, 'aria-label': name, onerror: failed });
  if (type.startsWith('audio/')) return h('audio', { src, controls: true, preload: 'metadata', 'aria-label': name, onerror: failed });
  return [
    h('iframe', { src, title: name }),
    type.startsWith('text/html') && h('p', { className: 'soft' }, 'Shown without its scripts, which could read all that is stored here.'),
  ];
}

async function written(storage, path, size) {
  const length = Math.min(size, TEXT_BYTES);
  const text = new TextDecoder().decode(await storage.retrieve(path, { length }));
  return [
    h('pre', { tabIndex: 0 }, text),
    length < size && h('p', { className: 'soft' }, `The first ${bytes(length)} of ${bytes(size)}.`),
  ];
}
