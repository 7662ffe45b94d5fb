// What people type and paste to say where something is.

/** The CID, and the path below it, of an address in any of the usual forms; undefined for none of them. */
export function parseAddress(text) {
  const address = text.trim();
  const native = /^(?:ipfs:\/\/|dweb:\/ipfs\/|web\+ipfs:\/\/)(?:ipfs\/)?(.+)$/i.exec(address);
  if (native) return decoded(native[1].split(/[?#]/)[0]);
  const gateway = /^https?:\/\/[^/]+\/ipfs\/([^?#]+)/i.exec(address);
  if (gateway) return decoded(gateway[1]);
  const subdomain = /^https?:\/\/([a-z0-9]+)\.ipfs\.[^/]+(\/[^?#]*)?/i.exec(address);
  if (subdomain) return decoded(subdomain[1] + (subdomain[2] ?? ''));
  const plain = /^(?:\/?ipfs\/)?([a-z0-9]{8,}(?:\/.*)?)$/i.exec(address);
  return plain ? trimmed(plain[1]) : undefined;
}

/** The fragment under which the app shows a path. */
export function routeTo(path) {
  return `#/ipfs/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** The URL at which the service worker answers for a path. */
export function urlOf(path, parameters) {
  const query = parameters ? `?${new URLSearchParams(parameters)}` : '';
  return `ipfs/${path.split('/').map(encodeURIComponent).join('/')}${query}`;
}

function decoded(path) {
  try {
    return trimmed(path.split('/').map(decodeURIComponent).join('/'));
  } catch {
    return undefined;
  }
}

function trimmed(path) {
  return path.replace(/\/+$/, '');
}
