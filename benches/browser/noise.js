/** SplitMix32: random bytes, the same for the same seed. */
export function noise(seed, length) {
  const words = new Uint32Array(length / 4);
  let state = Math.imul(seed + 1, 0x85ebca6b);
  for (let at = 0; at < words.length; at++) {
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    words[at] = word ^ (word >>> 15);
  }
  return new Uint8Array(words.buffer);
}
