// A small picture of a CID: the same content, the same picture.

import { svg } from './dom.js';

const QUARTERS = ['M0 0h1v1A1 1 0 0 1 0 0z', 'M1 0v1H0A1 1 0 0 1 1 0z', 'M0 1V0h1A1 1 0 0 1 0 1z', 'M0 0a1 1 0 0 1 1 1H0z'];

export function glyph(cid, className = 'glyph') {
  // The last characters of a CID are those of its digest.
  const codes = [...cid.slice(-19)].map((char) => char.charCodeAt(0));
  const hue = (codes[0] * 47 + codes[1] * 13) % 360;
  const parts = codes.slice(3, 12).map((code, at) => {
    const path = svg('path', { d: QUARTERS[code % 4], transform: `translate(${at % 3} ${Math.floor(at / 3)})` });
    path.style.fill = `oklch(${[0.62, 0.72, 0.82][code % 3]} 0.1 ${(hue + (code % 5) * 14) % 360})`;
    return path;
  });
  return svg('svg', { viewBox: '-0.25 -0.25 3.5 3.5', class: className, 'aria-hidden': 'true' }, parts);
}
