// Line drawings, 20 by 20.

import { svg } from './dom.js';

const PATHS = {
  file: 'M5 2.5h6.5L15 6v11.5H5zM11.5 2.5V6H15',
  directory: 'M2.5 5h5l1.5 2h8.5v8.5h-15z',
  symlink: 'M8 12l4-4M7 9l-2 2a2.8 2.8 0 0 0 4 4l2-2M9 7l2-2a2.8 2.8 0 0 1 4 4l-2 2',
  value: 'M7 3.5H5.5v5L4 10l1.5 1.5v5H7M13 3.5h1.5v5L16 10l-1.5 1.5v5H13',
  pin: 'M7 3h6M8 3v5l-2.5 3h9L12 8V3M10 11v6',
  copy: 'M7 7h9.5v9.5H7zM4 13H3.5V3.5H13V4',
  save: 'M10 3v9.5M6 9l4 4 4-4M3.5 16.5h13',
  archive: 'M3 4h14v4H3zM4.5 8v8.5h11V8M8 11h4',
  forget: 'M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l1 11h7l1-11',
  open: 'M8 4H4v12h12v-4M11 4h5v5M16 4l-7 7',
  plus: 'M10 4v12M4 10h12',
  close: 'M5 5l10 10M15 5L5 15',
  again: 'M16 10a6 6 0 1 1-2-4.5M16 3v4h-4',
  sweep: 'M12 3l-3 6M6 9h7l1.5 8h-10z',
  check: 'M4 10.5l4 4 8-9',
  light: 'M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1 1M14.7 14.7l1 1M4.3 15.7l1-1M14.7 5.3l1-1',
  dark: 'M16 12.5A7 7 0 0 1 7.5 4 7 7 0 1 0 16 12.5z',
  auto: 'M10 3a7 7 0 1 1 0 14zM10 3a7 7 0 1 0 0 14',
};

export function icon(name) {
  return svg('svg', { viewBox: '0 0 20 20', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));
}
