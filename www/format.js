// Figures for people.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** 1,234,567 is `1.2 MB`. */
export function bytes(count) {
  if (count === undefined) return '–';
  let unit = 0;
  for (; count >= 999.5 && unit < UNITS.length - 1; unit += 1) count /= 1000;
  const digits = unit > 0 && count < 9.95 ? 1 : 0;
  return `${count.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })} ${UNITS[unit]}`;
}

/** `1 block`, `2 blocks`, `1,000 blocks`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

const STEPS = [
  [60, 'second', 1],
  [3600, 'minute', 60],
  [86_400, 'hour', 3600],
  [30 * 86_400, 'day', 86_400],
  [Infinity, 'month', 30 * 86_400],
];

/** How long ago, or in how long, something is. */
export function when(milliseconds) {
  const seconds = (milliseconds - Date.now()) / 1000;
  if (Math.abs(seconds) < 5) return 'just now';
  const [, unit, size] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
  return new Intl.RelativeTimeFormat('en').format(Math.trunc(seconds / size), unit);
}

/** The beginning and the end of a CID, which is what people compare. */
export function short(cid) {
  return cid.length > 20 ? `${cid.slice(0, 9)}…${cid.slice(-6)}` : cid;
}

/** `A directory`, and so on. */
export const KINDS = { file: 'File', directory: 'Folder', symlink: 'Link', value: 'Data' };
