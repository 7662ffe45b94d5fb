// Faults in the blocks of an answer: of the sections of a CAR, or of a body that is one block.
//
// `block` says where: the block's place in the CAR, from 0, which is the root.

import { createHash, randomBytes } from 'node:crypto';

/** Each takes the parts of a true body and gives those of a false one. */
export const BLOCKS = {
  'wrong-bytes': inSections(async function* (sections, { block = 0, at = 0 }) {
    for await (const section of sections) yield section.place === block ? { ...section, data: flipped(section.data, at) } : section;
  }),
  /** The bytes of two blocks, each under the other's CID. */
  swapped: inSections(async function* (sections, { block = 0 }) {
    let held;
    for await (const section of sections) {
      if (section.place === block && section.cid.length) held = section;
      else if (held) {
        yield { ...held, data: section.data };
        yield { ...section, data: held.data };
        held = undefined;
      } else yield section.cid.length ? section : unasked(section.data.length || 1);
    }
    // A CAR of one block, which has none to swap with.
    if (held) yield { ...held, data: unasked(100).data };
  }),
  /** A good block that nobody asked for, before this one. */
  extra: inSections(async function* (sections, { block = 1, size = 1000, count = 1 }) {
    for await (const section of sections) {
      if (section.place === block) for (let i = 0; i < count; i++) yield unasked(size);
      yield section;
    }
  }),
  /** A clean end in the middle of a block. */
  truncated: inSections(async function* (sections, { block = 0 }) {
    for await (const section of sections) {
      if (section.place === block) {
        const bytes = encoded(section);
        yield { raw: bytes.subarray(0, Math.ceil(bytes.length / 2)) };
        return;
      }
      yield section;
    }
  }),
  /** A clean end before a block. */
  'truncated-between': inSections(async function* (sections, { block = 1 }) {
    for await (const section of sections) {
      if (section.place === block) return;
      yield section;
    }
  }),
  /** Good blocks that nobody asked for, before this one, for ever. */
  endless: inSections(async function* (sections, { block = 1, size = 100_000 }) {
    for await (const section of sections) {
      if (section.place === block) break;
      yield section;
    }
    for (;;) yield unasked(size);
  }),
  /** The root, and the root again, for ever. */
  'endless-root': inSections(async function* (sections) {
    for await (const section of sections) for (;;) yield section;
  }),
  /** A block that is larger than any may be, by a CID that is right, before this one. */
  oversize: inSections(async function* (sections, { block = 1, size = 3 * 2 ** 20 }) {
    for await (const section of sections) {
      if (section.place === block || !section.cid.length) yield unasked(size);
      yield section;
    }
  }),
};

/** A fault of sections as one of bytes. A body that is no CAR is a section without CID. */
function inSections(change) {
  return async function* (parts, fault, isCar) {
    const { head, sections } = isCar ? await parse(parts) : { head: Buffer.alloc(0), sections: single(parts) };
    yield head;
    for await (const section of change(sections, fault)) yield section.raw ?? (isCar ? encoded(section) : section.data);
  };
}

async function* single(parts) {
  const all = [];
  for await (const part of parts) all.push(part);
  yield { place: 0, cid: Buffer.alloc(0), data: Buffer.concat(all) };
}

/** The header's bytes, and the blocks as they come. */
async function parse(parts) {
  const source = parts[Symbol.asyncIterator]();
  let buffer = Buffer.alloc(0);
  /** The next section with its length, or nothing at the end. */
  const next = async () => {
    for (;;) {
      const length = varint(buffer, 0);
      if (length && buffer.length >= length.end + length.value) {
        const end = length.end + length.value;
        const section = { start: length.end, bytes: buffer.subarray(0, end) };
        buffer = buffer.subarray(end);
        return section;
      }
      const { done, value } = await source.next();
      if (done) return undefined;
      buffer = Buffer.concat([buffer, value]);
    }
  };
  const head = (await next()).bytes;
  async function* sections() {
    for (let place = 0; ; place++) {
      const section = await next();
      if (!section) return;
      const body = section.bytes.subarray(section.start);
      const end = cidEnd(body);
      yield { place, cid: body.subarray(0, end), data: body.subarray(end) };
    }
  }
  return { head, sections: sections() };
}

/** A good block of random bytes. */
function unasked(size) {
  const data = randomBytes(size);
  const cid = Buffer.concat([Buffer.of(1, 0x55, 0x12, 0x20), createHash('sha256').update(data).digest()]);
  return { cid, data };
}

function flipped(data, at) {
  // An empty block has nothing to flip.
  if (!data.length) return Buffer.of(1);
  const copy = Buffer.from(data);
  copy[at % copy.length] ^= 1;
  return copy;
}

function encoded({ cid, data }) {
  return Buffer.concat([Buffer.from(prefix(cid.length + data.length)), cid, data]);
}

function cidEnd(bytes) {
  if (bytes[0] === 0x12 && bytes[1] === 0x20) return 34;
  let at = 0;
  // Version, codec, hash function, and the digest's length.
  for (let field = 0; field < 3; field++) at = varint(bytes, at).end;
  const digest = varint(bytes, at);
  return digest.end + digest.value;
}

/** Nothing if the bytes end within it. */
function varint(bytes, from) {
  let value = 0;
  let scale = 1;
  for (let at = from; at < bytes.length; at++) {
    value += (bytes[at] & 0x7f) * scale;
    if (bytes[at] < 0x80) return { value, end: at + 1 };
    scale *= 128;
  }
  return undefined;
}

function prefix(value) {
  return value < 128 ? [value] : [(value % 128) | 128, ...prefix(Math.floor(value / 128))];
}
