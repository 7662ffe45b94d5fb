/**
 * A path gateway over a storage, for service workers: `/ipfs/CID/path` of the app's own origin, answered from what is held,
 * and, if the storage may, from what its remotes have. It has no engine in it: bring a storage.
 *
 * @example
 * const options = { remotes: ['https://gateway.example'] };
 * addEventListener('fetch', (event) => {
 *   const { origin, pathname } = new URL(event.request.url);
 *   if (origin === location.origin && pathname.startsWith('/ipfs/')) {
 *     event.respondWith(respond(event.request, getStorage(options)));
 *   }
 * });
 */
import type { Storage } from './index.js';

export interface GatewayOptions {
  /** What comes before the CID in the path of a URL. Default: `/ipfs/`. */
  base?: string;
  /** Fetch nothing, and let stored pages load nothing from other origins. */
  offline?: boolean;
  /**
   * What stored pages may do. Anybody can have written them, and a script of theirs in the app's origin could read the store,
   * and all else that the origin keeps.
   *
   * `none` (default): no scripts and no forms; styles, images, media and relative links work, for pages stay in the origin
   * that the service worker answers for. `isolated`: scripts, in an origin of their own; browsers then ask the server, not
   * the service worker, for what such a page loads, so that it must have all in itself. `trusted`: no limits, for an origin
   * that keeps nothing else.
   */
  scripts?: 'none' | 'isolated' | 'trusted';
}

/**
 * The response to a request. It rejects never: failures are small pages with a status.
 *
 * - GET and HEAD of files, with one range of bytes (206, 416), `If-Range`, `If-None-Match` (304) and the CID as `ETag`
 * - directories: `index.html`, else a page that lists them; without a slash at the end a redirect (301); symbolic links
 *   likewise, within the root
 * - `?filename=` and `?download=true` name what is saved; `?format=raw` and `?format=car`, or `Accept`, give a block, or an
 *   archive of all that is below the path
 * - 400 for what is no CID, 404 for no such path, 412 when `only-if-cached` was asked for and it is not held, 502 when a remote
 *   sent what does not hash to its CID, 504 when it is neither held nor can be fetched
 */
export function respond(
  request: Request,
  storage: Storage | Promise<Storage>,
  options?: GatewayOptions,
): Promise<Response>;

/** The content type of a file, by its name, else by its first bytes; undefined if the name does not tell and there are none. */
export function contentType(name: string | undefined, bytes: Uint8Array): string;
export function contentType(name: string | undefined): string | undefined;
