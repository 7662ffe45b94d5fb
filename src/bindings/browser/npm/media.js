// Which type a file is of: by its name, else by its first bytes.

const BY_EXTENSION = {
  'text/html': 'html htm',
  'text/css': 'css',
  'text/javascript': 'js mjs',
  'text/plain': 'txt text log ini conf toml yaml yml rs py rb go java c h cpp hpp ts tsx jsx sh diff patch',
  'text/markdown': 'md markdown',
  'text/csv': 'csv',
  'text/vtt': 'vtt',
  'text/xml': 'xml',
  'application/json': 'json map',
  'application/manifest+json': 'webmanifest',
  'application/xhtml+xml': 'xhtml',
  'application/pdf': 'pdf',
  'application/wasm': 'wasm',
  'application/zip': 'zip',
  'application/gzip': 'gz tgz',
  'application/x-tar': 'tar',
  'application/epub+zip': 'epub',
  'application/vnd.ipld.car': 'car',
  'image/png': 'png',
  'image/apng': 'apng',
  'image/jpeg': 'jpg jpeg',
  'image/gif': 'gif',
  'image/webp': 'webp',
  'image/avif': 'avif',
  'image/svg+xml': 'svg',
  'image/bmp': 'bmp',
  'image/x-icon': 'ico',
  'video/mp4': 'mp4 m4v',
  'video/webm': 'webm',
  'video/ogg': 'ogv',
  'video/quicktime': 'mov',
  'video/x-matroska': 'mkv',
  'audio/mpeg': 'mp3',
  'audio/mp4': 'm4a',
  'audio/ogg': 'ogg oga opus',
  'audio/flac': 'flac',
  'audio/wav': 'wav',
  'font/woff': 'woff',
  'font/woff2': 'woff2',
  'font/ttf': 'ttf',
  'font/otf': 'otf',
};

const TYPES = new Map(
  Object.entries(BY_EXTENSION).flatMap(([type, extensions]) => extensions.split(' ').map((extension) => [extension, type])),
);

/** What files begin with, a character a byte; `.` is any. */
const BY_BYTES = [
  ['\x89PNG\r\n\x1a\n', 'image/png'],
  ['\xff\xd8\xff', 'image/jpeg'],
  ['GIF8', 'image/gif'],
  ['RIFF....WEBP', 'image/webp'],
  ['RIFF....WAVE', 'audio/wav'],
  ['....ftypavif', 'image/avif'],
  ['....ftypqt', 'video/quicktime'],
  ['....ftypM4A', 'audio/mp4'],
  ['....ftyp', 'video/mp4'],
  ['\x1aE\xdf\xa3', 'video/webm'],
  ['OggS', 'audio/ogg'],
  ['fLaC', 'audio/flac'],
  ['ID3', 'audio/mpeg'],
  ['%PDF-', 'application/pdf'],
  ['PK\x03\x04', 'application/zip'],
  ['\x1f\x8b', 'application/gzip'],
  ['\0asm', 'application/wasm'],
  ['wOF2', 'font/woff2'],
];

/** Undefined if the name does not tell, and there are no bytes. */
export function contentType(name, bytes) {
  const extension = /\.([^.]+)$/.exec(name ?? '')?.[1].toLowerCase();
  const type = TYPES.get(extension) ?? (bytes && sniffed(bytes));
  return type?.startsWith('text/') ? `${type}; charset=utf-8` : type;
}

function sniffed(bytes) {
  for (const [pattern, type] of BY_BYTES) {
    const fits = (char, at) => char === '.' || bytes[at] === char.charCodeAt(0);
    if ([...pattern].every(fits)) return type;
  }
  const text = textOf(bytes);
  if (text === undefined) return 'application/octet-stream';
  const start = text.trimStart().slice(0, 200).toLowerCase();
  if (/^<(!doctype html|html|head|body)\b/.test(start)) return 'text/html';
  if (/^(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg\b/s.test(start)) return 'image/svg+xml';
  return 'text/plain';
}

/** Undefined for what is no UTF-8, or has what no text has. A character that is cut off at the end is none of its faults. */
function textOf(bytes) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return /[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
