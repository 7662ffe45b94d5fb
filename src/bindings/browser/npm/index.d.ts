/**
 * Local-first, content-addressed storage for IPFS applications.
 *
 * @example
 * const storage = await openStorage();
 * const { cid } = await storage.store(file, { pin: true });
 * const bytes = await storage.retrieve(cid);
 */

/** A CID as text, or any object whose `toString` gives it. */
export type CidLike = string | { toString(): string };

/**
 * A CID, or a path below one: `CID/a/b.txt`, `/ipfs/CID/a/b.txt` or `ipfs://CID/a/b.txt`. Names are taken as they are; only
 * in an `ipfs://` address are they percent-decoded.
 */
export type PathLike = CidLike;

/** How a file becomes a DAG of blocks, and so which CID it gets (IPIP-499). */
export type Profile = 'unixfs-v1-2025' | 'unixfs-v0-2015';

/** A profile, and what departs from it. */
export interface Layout {
  /** Default: `unixfs-v1-2025`. */
  profile?: Profile;
  /** Bytes of file data in each leaf: 1 to 2,096,896. */
  chunkSize?: number;
  /** Links in each node: 2 to 8,192. */
  width?: number;
  /** Whether leaves are raw blocks. */
  rawLeaves?: boolean;
  /** The hash of every block. */
  hash?: 'sha2-256' | 'sha2-512' | 'blake3';
}

export interface OpenOptions {
  /** The name of the store: of its folder in OPFS, or of its IndexedDB database. Default: `ipfs-kit-storage`. */
  name?: string;
  /**
   * Where it is kept. `opfs`: in files, by a dedicated worker, which also runs the engine; of several tabs one has it open,
   * and the others call that. `indexeddb`: in a database, by the engine in this page or worker. `auto` (default): `opfs` where
   * there is a worker and OPFS, else `indexeddb`. A store that is in the other place is moved, as a whole, when nobody else has
   * it open there: LockedError if `indexeddb` is asked for and somebody has. `backendStatus` tells where it is.
   */
  tier?: 'auto' | 'opfs' | 'indexeddb';
  /** The layout of files stored without one of their own. */
  layout?: Layout;
  /**
   * `strict` (default): what is acknowledged survives a power cut. `relaxed`: it survives a closed or crashed tab or
   * browser; a power cut may lose the latest writes, until `flush`.
   */
  durability?: 'strict' | 'relaxed';
  /** When a block read from the local tier is hashed against its CID. Default: `always`. */
  verification?: 'always' | 'on-first-read' | 'never';
  /** Never use a network, whatever is configured. `globalThis.IPFS_KIT_DISABLE = '1'` does the same, and in Node the variable. */
  forceFallback?: boolean;
  /**
   * Who may have what is not held here. Addresses: `https://…` is a trustless gateway, `kubo+http://…` a Kubo RPC,
   * `routing+https://…` a delegated router; they must allow this page's origin (CORS). Or objects, such as `helia(node)` of
   * `ipfs-kit-storage/helia`. What they send is proven before it is kept.
   */
  remotes?: (string | Remote)[];
  /** Milliseconds after which a remote that sends nothing, or hardly anything, is given up. Default: 20,000. */
  remoteTimeout?: number;
  /** Places that keep copies of what is stored here. They are given nothing but what a policy says. */
  backends?: BackendOptions[];
  /** Which of them get a copy of what is stored, unless a call says otherwise. Default: none. */
  policy?: ReplicationPolicy;
  /**
   * Whether what is due for the backends is done in the background, at once when something was stored, and later what is due
   * later: `sync` does it otherwise. Default: true.
   */
  autoSync?: boolean;
  /** Where the wasm is, when it does not lie beside the script: a URL, a Response or its bytes. Counts once. */
  module?: RequestInfo | URL | Response | BufferSource | WebAssembly.Module;
}

/** A place that keeps copies. */
export type BackendOptions = KuboBackend | ClusterBackend | S3Backend | ArchiveBackend;

/** What is given of every backend. All of it is kept in memory alone; a page's requests must be allowed there (CORS). */
export interface AnyBackend {
  /** Records name it by this, so it is to stay the same. 1 to 256 bytes without blanks. */
  name: string;
  /** Roots that are under way to it at once. Default: 4. */
  atOnce?: number;
  /** Bytes sent to it a second, over some time. Default: as many as go. */
  bytesPerSecond?: number;
}

/** A Kubo node, by its RPC, which pins what it is given. */
export interface KuboBackend extends AnyBackend {
  kind: 'kubo';
  /** Where its RPC is. */
  url: string;
}

/** An IPFS Cluster, by its REST API: it is sent CARs, and pins them. */
export interface ClusterBackend extends AnyBackend {
  kind: 'cluster';
  /** Where its API is. */
  api: Service;
  /** The URL of a trustless gateway to its own peers: what that gives proves that they have it. */
  gateway: string;
}

/**
 * A URL, or one and what is to be shown there: a bearer token, or a user and a password. With these it is of https, or leads to
 * this machine or its own network. They are kept nowhere, and no error, status or record says them.
 */
export type Service = string | { url: string; token: string } | { url: string; user: string; password: string };

/**
 * A bucket of an S3-compatible service: of each root an archive, `CID.car`, and its index, `CID.car.idx`. Its keys are not
 * here, but where `sign` asks: each request is made by a presigned URL. For a page the bucket's CORS rules allow the methods
 * of `SignRequest` and the header `range`, and expose `ETag`.
 */
export interface S3Backend extends AnyBackend {
  kind: 's3';
  /** What keys begin with: `copies/`, perhaps. At most 512 bytes. Default: nothing. */
  prefix?: string;
  /**
   * How the copies that are made from now on lie there: as said above, or of each block an object, which roots share, and of each root
   * lists of its blocks. That takes a request for each block. Default: `car`.
   */
  layout?: 'car' | 'blocks';
  /**
   * The presigned URL of a request, good for some minutes; of its headers the host alone is signed, and not its body. It is
   * asked for each request, and waited for as for the bucket itself. A rejection is shown as what went wrong with the
   * delivery, kept in its record, and tried again later, so its message is to hold no secret.
   */
  sign(request: SignRequest, options: { signal: AbortSignal }): Promise<string>;
}

/**
 * A request to a bucket that is to be signed. There are these, by S3's names, and no others:
 *
 * | `method` | `query` | |
 * |---|---|---|
 * | `GET` | `list-type`, `prefix`, `max-keys`, `continuation-token` | ListObjectsV2, of an empty key; with `layout: 'blocks'` only |
 * | `GET` | | GetObject, all of it or a range; of `PREFIXprobe` it asks only whether somebody is there |
 * | `PUT` | | PutObject |
 * | `DELETE` | | DeleteObject |
 * | `POST` | `uploads` (empty) | CreateMultipartUpload |
 * | `PUT` | `partNumber`, `uploadId` | UploadPart |
 * | `POST` | `uploadId` | CompleteMultipartUpload |
 * | `DELETE` | `uploadId` | AbortMultipartUpload |
 */
export interface SignRequest {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** The object's key, with the prefix, not escaped. */
  key: string;
  /** The parameters that belong into the URL and are signed with it, not escaped. */
  query: Record<string, string>;
}

/**
 * A service that keeps archives, on Filecoin perhaps: it takes CARs by HTTP, keeps what is requested by the IPFS Pinning Service
 * API, version 1, and gives it back by a trustless gateway.
 */
export interface ArchiveBackend extends AnyBackend {
  kind: 'archive';
  /** What takes CARs. */
  upload: Service;
  /** What has `/pins` below it. */
  pins: Service;
  /** Its own gateway: what it gives counts as a copy. */
  gateway: string;
  /** The method of uploads. Default: `post`. */
  by?: 'post' | 'put';
  /** Multiaddresses of nodes that have the data, for its requests: 20 at most. */
  origins?: string[];
}

/** Where copies are to be. What is left out is as the storage's `policy` has it. */
export interface ReplicationPolicy {
  /** The names of the backends that are to have one. Default: none. */
  backends?: string[];
  /** How many proven copies it takes to be replicated. Default, and where there are fewer backends: one at each. */
  copies?: number;
  /** How much is read back before a copy counts: so many ways from the root to a leaf, or all. Default: 16. */
  readBack?: number | 'all';
  /** With so many proven copies the local one may be evicted, unless it is pinned. Default: `copies`. */
  evictWith?: number;
  /** Whether to pin what is stored. */
  pin?: boolean;
  /** Days after which copies are read back again; 0: never. Default: 30. */
  auditDays?: number;
  /**
   * Another backend that is to have a copy when it is so many days old. `moves`: it is to be the only one then; once the copy
   * there is proven, the others are removed.
   */
  archive?: { backend: string; days: number; moves?: boolean };
  /**
   * Days after its last use when the local copy leaves by itself, where it may be evicted: with enough proven copies, and
   * unless it is pinned. What is read again comes back from them. Default: it stays as long as there is room.
   */
  localDays?: number;
}

/** A root on its way to a backend. */
export interface Delivery {
  cid: string;
  /** The backend's name. */
  backend: string;
  /**
   * `stored`: the backend says that it has it, which is to be proven. `failed`: given up; `replicate` tries it again.
   * `verified` ones are no longer listed: they are replicas.
   */
  state: 'queued' | 'sending' | 'stored' | 'verified' | 'failed' | 'removing';
  /** Bytes sent so far. */
  sent: number;
  /** When it was queued, in milliseconds since the Unix epoch. */
  queued: number;
  /** What went wrong the last time, if it has not gone well since. */
  setback: Setback | undefined;
  /** What the backend tells of it. */
  details: Record<string, string>;
}

export interface Setback {
  /** Whether it could not be read here, or the backend failed. */
  place: 'here' | 'there';
  why: string;
  /** Failures in a row. */
  failures: number;
  /** When it is tried again, in milliseconds since the Unix epoch; undefined: it was given up. */
  next: number | undefined;
}

/** A copy that was read back, and how much of it. */
export interface Replica {
  /** The backend's name. */
  backend: string;
  /** When the backend said that it has it, in milliseconds since the Unix epoch. */
  stored: number;
  /** When it was read back last, likewise: the age of the evidence. */
  verified: number;
  /** Blocks that were read back then, */
  blocks: number;
  /** and their bytes. */
  bytes: number;
  /** Whether these were all. */
  all: boolean;
  /** What the backend tells of it. */
  details: Record<string, string>;
}

/** Where a root stands. */
export interface Replication {
  /** Whether there are as many proven copies as were promised. */
  replicated: boolean;
  /** How many that is; undefined if nothing was promised. */
  wanted: number | undefined;
  /** The copies that were proven. */
  replicas: Replica[];
  /** What is still to be done. */
  deliveries: Delivery[];
}

/** What `sync` did. */
export interface SyncReport {
  /** Bytes sent. */
  sent: number;
  /** Copies that were read back, and are whole. */
  verified: number;
  /** Copies that were not there, or not whole, when they were read back: they are made anew. */
  lost: number;
  /** Copies that were removed. */
  removed: number;
  /** Deliveries that were given up, now or earlier. */
  failed: number;
  /** Deliveries that wait. */
  waiting: number;
  /** When the first of them, or an audit, is due, in milliseconds since the Unix epoch. */
  next: number | undefined;
  /** Why nothing was asked of anybody, if so. */
  offline: OfflineReason | undefined;
}

/** A place that may have blocks. What it gives need not be trusted: it is proven before it is kept. */
export interface Remote {
  /** What errors and the status call it. No other remote of a storage may have it. */
  name: string;
  /** What kind it is, for the status. Default: `custom`. */
  kind?: 'helia' | 'custom';
  /**
   * The bytes of the block with this CID; undefined, or a rejection with the name `NotFoundError`, when it does not have it.
   * Any other rejection says that it cannot be reached, and it is asked again. The signal aborts when nobody waits any more,
   * at the latest after `remoteTimeout`.
   */
  get(cid: string, options: { signal: AbortSignal }): Promise<Uint8Array | undefined>;
  /** The least that it can be asked for; rejects when it cannot be reached. Default: a `get` of the empty block. */
  probe?(options: { signal: AbortSignal }): Promise<void>;
  /** Takes a block, for `push`. */
  put?(cid: string, bytes: Uint8Array, options: { signal: AbortSignal }): Promise<void>;
}

export interface StoreOptions {
  /** A name to list it by. Default: a File's own. */
  filename?: string;
  /** Pin it with the same commit. An earlier pin stays in any case. */
  pin?: boolean;
  /** Default: the storage's. */
  layout?: Layout;
  /** Where copies of it are to be: laid over the storage's `policy`, and queued with the same commit. */
  replicate?: ReplicationPolicy;
}

export interface CallOptions {
  /** Aborting rejects with the signal's reason, and drops a file not yet wholly given. */
  signal?: AbortSignal;
  /** Told after each piece. `total` is undefined for a stream of unknown length. */
  onProgress?: (progress: { done: number; total: number | undefined }) => void;
}

export interface ReadOptions {
  /** The first byte. Default: 0. */
  offset?: number;
  /** How many bytes at most. Default: to the end. */
  length?: number;
  /** Do not use a network for this call: what is not held here fails at once. */
  offline?: boolean;
  /** Once all of the file has been read it is a pinned root. Not together with a part of the file. */
  pin?: boolean;
  /** Told of what comes from elsewhere, after each batch of blocks. */
  onFetched?: (fetched: Fetched) => void;
}

/** What has been fetched so far. */
export interface Fetched {
  /** Blocks got and stored. */
  blocks: number;
  /** Their bytes. */
  bytes: number;
  /** The remote that gave the last of them. */
  remote: string;
}

/** What a remote has taken so far. */
export interface Pushed {
  /** Blocks of the DAG, each once. */
  blocks: number;
  /** Their bytes. */
  bytes: number;
}

/** What is known of a stored root, of an entry of a directory, or of what is at a path. */
export interface FileInfo {
  cid: string;
  /** The name it was last stored under, or that its directory has for it. */
  filename: string | undefined;
  /** Undefined if its first block is not held. */
  kind: 'file' | 'directory' | 'symlink' | 'value' | undefined;
  /**
   * Bytes of a file's data, of all files in a tree that was stored, of a link's target or a value; undefined if its first
   * block is not held, and of a directory that is in another.
   */
  size: number | undefined;
  /** Bytes of all its blocks, as its directory says. */
  dagSize: number | undefined;
  /** POSIX permissions, if they were kept. */
  mode: number | undefined;
  /** When it was changed last, if that was kept: milliseconds since the Unix epoch, with a fraction. */
  mtime: number | undefined;
  /** Where a symbolic link leads. */
  target: string | undefined;
  /** When it was last stored as a root: milliseconds since the Unix epoch; undefined if it is none. */
  modified: number | undefined;
  /** Whether a pin of its own keeps all of it. */
  pinned: boolean;
  /** The profile it was stored by; undefined for a free layout. */
  profile: Profile | undefined;
}

export interface PinOptions {
  /** All of the DAG (default), or the one block. */
  kind?: 'recursive' | 'direct';
  /** A name to find it by. At most 1,024 bytes of UTF-8. */
  name?: string;
  /** What else is to be noted of it. At most 64, names and values of at most 1,024 bytes of UTF-8. */
  labels?: Record<string, string>;
  /** When it ends by itself: milliseconds since the Unix epoch, or a Date. Default: never. */
  expires?: number | Date;
  /** Do not use a network for this call: what is not held here fails at once. */
  offline?: boolean;
  /** Told of what comes from elsewhere, after each batch of blocks. */
  onFetched?: (fetched: Fetched) => void;
  /** Aborting rejects with the signal's reason; what has come stays, and the pin is pending. */
  signal?: AbortSignal;
}

/** A pin. There is one for each CID at most. */
export interface Pin {
  cid: string;
  kind: 'recursive' | 'direct';
  name: string | undefined;
  labels: Record<string, string>;
  /** When it was made: milliseconds since the Unix epoch. */
  created: number;
  /** When it ends, likewise; undefined: never. */
  expires: number | undefined;
  /** Some of it is still to be fetched. What of it is here stays all the same. */
  pending: boolean;
  /** Blocks that it keeps and that are here, each counted once; undefined as long as nobody could count them. */
  blocks: number | undefined;
  /** Their bytes. */
  bytes: number | undefined;
}

export interface BackendReport {
  /** `local`: the local tier. `remote`: one of `remotes`, or found by a router among them. `backend`: one of `backends`. */
  role: 'local' | 'remote' | 'backend';
  /** `local` is the local tier. */
  name: string;
  kind: string;
  state: 'available' | 'degraded' | 'unavailable' | 'disabled' | 'denied';
  /** What the last probe or call said, */
  evidence: string;
  /** and when: milliseconds since the Unix epoch. */
  checked: number;
  /** Milliseconds until a remote's first bytes come, or a backend has answered: the mean, the latest weighing most. */
  latency: number | undefined;
  /** Failures since it last worked. */
  failures: number;
  /** Bytes it sent since the storage was opened, */
  bytesIn: number;
  /** and bytes it was sent. */
  bytesOut: number;
}

/** Why a storage may not use the network. */
export type OfflineReason = 'no-remotes' | 'force-fallback' | 'disabled' | 'no-network' | 'requested' | 'disconnected' | 'denied';

export interface Status {
  /** The local tier, the remotes, the backends. */
  backends: BackendReport[];
  /** Why no remote is asked; undefined: they may be. */
  localOnly: OfflineReason | undefined;
  blocks: number;
  bytes: number;
  roots: number;
  pinned: number;
  /** Corrupt blocks that were set aside. */
  quarantined: number;
  /** Blocks that pins keep, and their bytes: each pin by itself, so that what two of them share counts twice. */
  pinnedBlocks: number;
  pinnedBytes: number;
  /** Pins whose size nobody has counted yet; `pins` does. */
  pinsUncounted: number;
  /** Files evicted since the storage was opened, and the bytes that this gave back. */
  evictedRoots: number;
  evictedBytes: number;
  /** What the last collection did that ran to its end. */
  lastCollection: CollectionReport | undefined;
  /** Bytes that the browser lets this origin keep, more or less; undefined if it does not tell. */
  quota: number | undefined;
  /** Bytes of these in use, more or less, with what else the origin keeps. */
  quotaUsed: number | undefined;
  /** Whether the browser has promised not to drop it for want of room: see `persist`. */
  persisted: boolean | undefined;
  diskLimit: number | undefined;
  memoryLimit: number;
  memoryBytes: number;
  memoryHits: number;
  memoryMisses: number;
}

/** How far a collection is. */
export interface CollectionProgress {
  /** It walks what must stay, drops what is left, and gives the room back. */
  phase: 'marking' | 'sweeping' | 'compacting';
  /** Roots and pins walked. */
  keepers: number;
  /** Blocks looked at, */
  examined: number;
  /** of so many when it began. */
  held: number;
  /** Blocks dropped so far, or that would be, */
  freedBlocks: number;
  /** and their bytes. */
  freedBytes: number;
}

/** What a collection did, and why the rest stayed. */
export interface CollectionReport {
  dryRun: boolean;
  /** When it began and ended: milliseconds since the Unix epoch. */
  began: number;
  ended: number;
  /** Blocks that were dropped, or would be, */
  freedBlocks: number;
  /** and their bytes. */
  freedBytes: number;
  /** Blocks that stayed because a pin reaches them; */
  pinned: number;
  /** because a stored file does, and no pin; */
  stored: number;
  /** because they were written, or relied on, while it ran. */
  inUse: number;
  /**
   * Roots and pins below which something is missing or cannot be read, so that nobody can tell what they need: nothing was
   * dropped. At most 16; not known of `lastCollection`.
   */
  obstacles: string[];
  /** Whether it dropped less than it could have, because another tab was storing or fetching at that moment. */
  postponed: boolean;
}

/** A file that was evicted, as a whole. */
export interface Evicted {
  cid: string;
  filename: string | undefined;
  /** Bytes of the file. What it shared with others stays. */
  size: number;
  /** The configured limit was near, or the browser had no more room. */
  reason: 'limit' | 'medium-full' | 'age';
  /** When: milliseconds since the Unix epoch. */
  at: number;
}

export interface CacheConfig {
  /** Bytes of blocks kept in memory; 0 keeps none. */
  memoryBytes?: number;
  /**
   * Bytes of blocks kept in the local tier; `Infinity` takes the limit away. A write that would come near it evicts stored
   * files that are not pinned, each as a whole, in the order of the policy; QuotaExceededError when that is not enough.
   */
  diskBytes?: number;
  /** Above so many hundredths of `diskBytes` room is made (95 to begin with), */
  highWater?: number;
  /** and down to so many (85 to begin with). */
  lowWater?: number;
  /**
   * The order in which blocks leave the memory, and files the local tier: `lru`, least recently used first
   * (default); `lfu`, least frequently used first, with ageing; `arc`, adaptive replacement, with which reading much once
   * leaves the often used in place.
   */
  policy?: 'lru' | 'lfu' | 'arc';
}

/** What to check. */
export interface VerifyOptions {
  /** The share of the blocks that are hashed, over 0 and up to 1. Default: all of them. */
  sample?: number;
  /** Which sample: the same number takes the same blocks. Default: the time decides. */
  seed?: number;
  /** Fetch what is corrupt or missing from the remotes, and set recorded sizes of pins right. */
  repair?: boolean;
  /** Use no network for that. */
  offline?: boolean;
  /** Told after each step. `keepers`, the roots and pins walked, counts once all blocks are looked at. */
  onProgress?: (progress: { blocks: number; total: number; bytes: number; keepers: number }) => void;
  /** Aborting ends the check, and leaves nothing half done. */
  signal?: AbortSignal;
}

/**
 * What a check may find. `corrupt`: a block's bytes do not hash to it; that copy was set aside. `unreadable`: the browser
 * fails to read a block, which stays where it is. `missing`: blocks that a root or pin needs are not held. `unwalked`: a node
 * whose links are not known here, so that nothing below it was checked. `pin-size`: the size recorded with a pin is wrong.
 * `figures`: the store's figures are not those of the blocks it holds.
 */
export type Fault = 'corrupt' | 'unreadable' | 'missing' | 'unwalked' | 'pin-size' | 'figures';

/** One thing that is wrong. */
export interface Finding {
  fault: Fault;
  /** The block, root or pin concerned; undefined for the figures. A block that no root is known to need is named as `raw`. */
  cid: string | undefined;
  /** How many faults these are: of a root, the blocks that are missing. */
  found: number;
  /** How many of them were repaired. */
  repaired: number;
  /** Some of the missing blocks. */
  some: string[];
  /** What was found, or why it was not repaired. */
  detail: string;
}

/** What a check has found: how often each fault, and the first thousand of them. */
export interface VerifyReport extends Record<Fault, { found: number; repaired: number }> {
  /** Whether all that was found is repaired. */
  sound: boolean;
  /** Which sample it was. */
  seed: number;
  /** Blocks held. */
  blocks: number;
  /** Of these, blocks that were read and hashed, */
  checked: number;
  /** and their bytes. */
  bytes: number;
  /** Roots and pins whose DAGs were walked. */
  keepers: number;
  /** Recorded sizes of pins that were compared. */
  sizes: number;
  /** Whether the store's figures were compared. They are not when something was written meanwhile. */
  figuresCompared: boolean;
  /** Blocks that no root or pin reaches; undefined if that is not known. */
  unreached: number | undefined;
  /** Their bytes; undefined if that is not known, as of a sample. */
  unreachedBytes: number | undefined;
  findings: Finding[];
}

/** What can be stored. */
export type Data =
  | string
  | Uint8Array
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>;

/** Something in a tree. With neither content nor a target it is a directory. */
export interface TreeEntry {
  /**
   * Names with slashes between them, from the tree downwards; at most 128 names, and 4,096 bytes. What is above it need not be
   * given. Given again, a file or link is what it was the last time, and a directory keeps what is in it. The empty path
   * is the tree itself.
   */
  path: string;
  /** The content of a file. Memory may be reused when the next entry is asked for. */
  content?: Data;
  /** Where a symbolic link leads. */
  target?: string;
  /** POSIX permissions, if they are to be kept. It changes the CID. */
  mode?: number;
  /** When it was changed last, if that is to be kept: milliseconds since the Unix epoch, or a Date. It changes the CID. */
  mtime?: number | Date;
}

/**
 * What a tree can be made of: entries; Files, with the folder that they were picked in (`webkitRelativePath`), if it is one,
 * as the tree itself; a folder; what was dropped.
 */
export type TreeSource =
  | Iterable<TreeEntry>
  | AsyncIterable<TreeEntry>
  | ReadableStream<TreeEntry>
  | FileList
  | readonly File[]
  | FileSystemDirectoryHandle
  | DataTransfer
  | DataTransferItemList;

/** How to store a tree. */
export interface TreeOptions extends StoreOptions {
  /** A name to list it by. Default: that of the folder that was picked, dropped or opened. */
  filename?: string;
  /** Also what in such a folder has a name that begins with a point. Entries are taken whatever their names are. */
  hidden?: boolean;
  /** Aborting rejects with the signal's reason, and nothing of the tree is kept. */
  signal?: AbortSignal;
  /** Told after some small files together, and after each piece of a large one. */
  onProgress?: (progress: TreeProgress) => void;
}

/** How far a tree is. */
export interface TreeProgress {
  /** The last entry. */
  path: string;
  /** Bytes of files so far. */
  done: number;
  /** Files so far. */
  files: number;
}

/** How to import an archive. */
export interface CarImportOptions {
  /** Pins its roots. */
  pin?: boolean;
  /**
   * A name by which it can be resumed, after a failure or when the page was closed: import the same archive by the same name
   * again, and what is stored already is passed over. Without one an import that fails leaves nothing.
   */
  resume?: string;
}

/** What an import has brought. */
export interface CarImport {
  /** The roots, as the archive names them, each once. */
  roots: CarRoot[];
  /** Blocks in it, those included that were held already. */
  blocks: number;
  /** Their bytes. */
  bytes: number;
}

/** A root of an archive, after its import. */
export interface CarRoot {
  cid: string;
  /** Whether all below it is held. Only then it is a stored root. */
  whole: boolean;
  /** Whether it is pinned. If it is not whole, its pin is pending: what is held stays, and `pin` fetches the rest. */
  pinned: boolean;
}

/** What an archive is to have. */
export interface CarExportOptions {
  /** The format: 1 (default), or 2, with an index of where each block lies. */
  version?: 1 | 2;
  /** `all` that is reachable (default), the `entity`, which is a file or what lists a directory, or the one `block`. */
  scope?: 'all' | 'entity' | 'block';
  /** Of a file only the bytes from this one on, counted from its end if it is negative. */
  from?: number;
  /** Of a file only the bytes up to this one, itself included; counted from its end if it is negative. */
  to?: number;
  /** Only what is held here. */
  offline?: boolean;
}

/** A link to another block, as in dag-json. */
export interface Link {
  readonly '/': string;
}

/** A value of linked data (the IPLD data model). */
export type Value<L = Link> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | L
  | Value<L>[]
  | { [name: string]: Value<L> };

/** A CID of `multiformats`. */
export interface CidObject {
  readonly '/': Uint8Array;
  readonly asCID: unknown;
}

/** What can be put: values with links of either kind. */
export type PutValue = Value<Link | CidObject | ArrayBuffer>;

/** How to put a value. */
export interface ValueOptions {
  /** The codec of the block, and of its CID. Default: `dag-cbor`. */
  codec?: 'dag-cbor' | 'dag-json';
  /** The hash of its CID. Default: `sha2-256`. */
  hash?: 'sha2-256' | 'sha2-512' | 'blake3';
  /** A name to list it by, at most 4,096 bytes. */
  filename?: string;
  /** Pin it, and all that it links to; what of that is not held is fetched. */
  pin?: boolean;
  /** Use no network for that. */
  offline?: boolean;
  signal?: AbortSignal;
}

/** A name, and what it leads to. */
export interface Named {
  name: string;
  cid: string;
  /** When it was set, in milliseconds since the Unix epoch. */
  modified: number;
}

/** What something in the mutable tree is. */
export type FileKind = 'file' | 'directory' | 'symlink' | 'value';

/** What a file system would know of something. */
export interface Metadata {
  /** POSIX permissions, 12 bits. */
  mode?: number;
  /** When it was changed last: milliseconds since the Unix epoch, or a Date. */
  mtime?: number | Date;
}

/** Where to write in the mutable tree, and what to make for it. */
export interface WriteOptions extends Metadata {
  /** Where the first byte goes; 0. Behind the end, zeros fill the gap. */
  offset?: number;
  /** Write behind the last byte, without an offset. */
  append?: boolean;
  /** Make the file if there is none. */
  create?: boolean;
  /** Make the directories above it if there are none. */
  parents?: boolean;
  /** The file is to have no bytes before it is written. */
  truncate?: boolean;
}

/** What is at a path of the mutable tree. */
export interface FileStat {
  cid: string;
  kind: FileKind;
  /** Bytes of a file; 0 of a directory. */
  size: number;
  /** Bytes of all its blocks, as their makers say; what is linked twice counts twice. */
  cumulativeSize: number;
  /** How many links its root block has. */
  links: number;
  /** POSIX permissions, if they were kept. */
  mode: number | undefined;
  /** When it was changed last, in milliseconds since the Unix epoch, if that was kept. */
  mtime: number | undefined;
}

/**
 * The mutable tree: files and directories under paths like `/a/b.txt`, as Kubo's `files` commands have it (MFS). All in it is
 * kept, and so are its last 16 roots. Of two changes at once, also in two tabs, none is lost.
 */
export interface Files {
  /**
   * Writes to a file; NotFoundError if there is none, or no directory for it, unless they may be made. Nothing of it shows
   * before it resolves. ConflictError if a stream was being written, and the same file was changed meanwhile.
   */
  write(path: string, data: Data, options?: WriteOptions & CallOptions): Promise<void>;

  /** A file, or a range of it, in memory. */
  read(path: string, options?: { offset?: number; length?: number } & CallOptions): Promise<Uint8Array>;

  /** Makes a file shorter, or longer by zeros. */
  truncate(path: string, length: number): Promise<void>;

  /** Makes a directory; DeniedError if there is something. With `parents` also those above it, and one that is there stays. */
  mkdir(path: string, options?: { parents?: boolean } & Metadata): Promise<void>;

  /** A page of a directory. A file is the only entry of its own list. */
  ls(
    path?: string,
    options?: { after?: string; limit?: number },
  ): Promise<{ files: FileInfo[]; next: string | undefined }>;

  /** All entries of a directory, page by page. */
  list(path?: string): AsyncGenerator<FileInfo, void, undefined>;

  /** What is at a path. */
  stat(path?: string): Promise<FileStat>;

  /**
   * Links what is in the tree already (`/a/b`), or a CID or what is below one (`CID/a/b`, `/ipfs/CID/a/b`), under another
   * path: no block is copied, and of a CID none need be held. Into a directory, where `to` is one or ends with a slash;
   * DeniedError if there is something already.
   */
  cp(from: PathLike, to: string, options?: { parents?: boolean }): Promise<void>;

  /** Moves, or renames. Into a directory, where `to` is one; a file that is there is replaced. */
  mv(from: string, to: string): Promise<void>;

  /** Removes a file; with `recursive` also a directory; with `force` both, and what is not there is no error. */
  rm(path: string, options?: { recursive?: boolean; force?: boolean }): Promise<void>;

  /** Sets when something was changed last; now, unless said otherwise. */
  touch(path: string, options?: { mtime?: number | Date }): Promise<void>;

  /** Sets the permissions of something. */
  chmod(path: string, mode: number): Promise<void>;

  /** Makes all that was changed survive a power cut, and gives the CID of what is at a path. */
  flush(path?: string): Promise<string>;

  /** The last roots of the tree, at most 16, the one in use first, each with the time since when it was that. */
  history(): Promise<{ cid: string; changed: number }[]>;
}

/** An open store. It may be open in several tabs and workers at once. */
export class Storage {
  private constructor();

  /** Stores one file of any size. When it resolves, the file is durable as `durability` says. */
  store(data: Data, options?: StoreOptions & CallOptions): Promise<FileInfo>;

  /** Stores many small files in one commit: all of them or none. */
  storeMany(
    files: Iterable<{ data: string | Uint8Array | ArrayBuffer | ArrayBufferView | Blob } & StoreOptions>,
    options?: { signal?: AbortSignal },
  ): Promise<FileInfo[]>;

  /**
   * Stores a tree of directories, files and symbolic links under the CID of its directory, in one commit: all of it or
   * nothing. It may be of any size: what comes is stored at once, small files many at a time. `ls`, `stat` and `retrieve`
   * lead into it by path.
   *
   * What was dropped is read before this returns, so call it in the event itself. Browsers tell neither permissions, times of
   * folders nor links; those of entries are kept.
   */
  storeTree(source: TreeSource, options?: TreeOptions): Promise<FileInfo>;

  /**
   * A file, or a range of it, in memory. NotFoundError if there is nothing at this path, UnsupportedError if there is a
   * directory, DeniedError if a symbolic link leads out of it.
   */
  retrieve(path: PathLike, options?: ReadOptions & CallOptions): Promise<Uint8Array>;

  /** A file, or a range of it, block by block. */
  stream(path: PathLike, options?: ReadOptions & CallOptions): ReadableStream<Uint8Array>;

  /**
   * What is known of a stored root, or of what a path leads to. Symbolic links on the way are followed, not one at the end.
   * What is not held is fetched, unless `offline`. NotFoundError for a CID that is neither stored nor held, where nobody can
   * be asked.
   */
  stat(path: PathLike, options?: { offline?: boolean }): Promise<FileInfo>;

  /**
   * A page of the stored roots, at `/` (default), in the order of their CIDs; or of what is in a directory, at its CID or a
   * path below one. Give `next` as `after` to get the next page. The directory is fetched where it is not held, unless
   * `offline`; what is in it never is.
   */
  listFiles(
    path?: PathLike,
    options?: { after?: string; limit?: number; offline?: boolean },
  ): Promise<{ files: FileInfo[]; next: string | undefined }>;

  /** All of what `listFiles` gives, page by page. */
  ls(path?: PathLike, options?: { offline?: boolean }): AsyncGenerator<FileInfo, void, undefined>;

  /** The mutable tree. */
  readonly files: Files;

  /** Whether the root, or the block, with this CID is held locally. Never asks a network. */
  exists(cid: CidLike): Promise<boolean>;

  /**
   * Forgets a root and drops what only it used. DeniedError while it is pinned, or a name leads to it, unless `force` takes
   * the pin, and the names, away with it; NotFoundError if there is no such root.
   */
  delete(cid: CidLike, options?: { force?: boolean }): Promise<void>;

  /**
   * Pins a root and everything it reaches, or one block, against deletion and eviction. What of it is not held is fetched;
   * if that breaks off the pin stays, pending, keeps what has come, and goes on from there when this is called again. What
   * is no stored root becomes one, unless the pin is direct.
   *
   * An earlier pin of the same CID is replaced; DeniedError if that is recursive and this one direct.
   */
  pin(cid: CidLike, options?: PinOptions): Promise<Pin>;

  /** A page of the pins, in the order of their CIDs. Give `next` as `after` to get the next page. */
  listPins(options?: { after?: string; limit?: number }): Promise<{ pins: Pin[]; next: string | undefined }>;

  /** All pins, page by page. */
  pins(): AsyncGenerator<Pin, void, undefined>;

  /**
   * Gives a root, and everything it reaches, to one of the remotes; with `pin` it has it pinned there, which says that the
   * remote holds all of it. What of it is not held here is fetched first.
   */
  push(
    cid: CidLike,
    remote: string | Remote,
    options?: { pin?: boolean; signal?: AbortSignal; onPushed?: (pushed: Pushed) => void },
  ): Promise<Pushed>;

  /**
   * Queues a stored root for the backends of a policy, laid over the storage's. What is no root yet is fetched, and is one
   * then. What was given up is tried again.
   */
  replicate(cid: CidLike, policy?: ReplicationPolicy): Promise<void>;

  /** Has the copies of a root removed, at one backend or at all; they count no more at once. Nothing is deleted here. */
  release(cid: CidLike, options?: { backend?: string }): Promise<void>;

  /** Queues the copies of a root, or of all roots, to be read back again. */
  audit(cid?: CidLike): Promise<void>;

  /** Where a root stands: its proven copies, and what is still to be done. */
  replication(cid: CidLike): Promise<Replication>;

  /** The proven copies of a root. */
  replicas(cid: CidLike): Promise<Replica[]>;

  /** A page of what is still to be done. Give `next` as `after` to get the next page. */
  listOutbox(options?: { after?: string; limit?: number }): Promise<{ deliveries: Delivery[]; next: string | undefined }>;

  /** All that is still to be done for the backends. */
  outbox(): AsyncGenerator<Delivery, void, undefined>;

  /**
   * Does what is due for the backends: sends, reads back, removes. What is due within `wait` milliseconds is waited for
   * (default: 0). It may be called at any time, also while another is under way, such as in a service worker's `sync` event.
   * A delivery that fails is no error here: it is in its record.
   */
  sync(options?: { wait?: number; signal?: AbortSignal }): Promise<SyncReport>;

  /**
   * Has a function told of each step that this storage's calls of `sync` make: the root, the backend's name, and what is
   * still to be done, which is undefined at its end. Returns a function that ends this.
   */
  onDelivery(listener: (cid: string, backend: string, delivery: Delivery | undefined) => void): () => void;

  /**
   * Has a name lead to a CID. What that reaches is neither collected, evicted nor deleted; it need not be held, and is not
   * fetched. With `expect` only if the name leads there now, and with null only if there is no such name: else
   * ConflictError, and nothing is changed. A name is any text of 1 to 1,024 bytes without control characters.
   */
  setName(name: string, cid: CidLike, options?: { expect?: CidLike | null }): Promise<Named>;

  /** What a name leads to; NotFoundError if there is no such name. */
  getName(name: string): Promise<Named>;

  /** Forgets a name; NotFoundError if there is none, ConflictError if it leads elsewhere than expected. */
  removeName(name: string, options?: { expect?: CidLike }): Promise<void>;

  /** A page of the names that begin with `prefix`, in their order. Give `next` as `after` to get the next page. */
  listNames(options?: {
    prefix?: string;
    after?: string;
    limit?: number;
  }): Promise<{ names: Named[]; next: string | undefined }>;

  /** All of these, page by page. */
  names(prefix?: string): AsyncGenerator<Named, void, undefined>;

  /** Takes the pin away; the data stays. NotFoundError if there is neither a pin nor a stored root. */
  unpin(cid: CidLike): Promise<void>;

  /**
   * Stores a value of linked data as one block and as a root: it is listed, pinned and deleted like a file. What it links to
   * may be held here or not. What is held stays with it; what is not holds nothing up, unless the value is pinned.
   *
   * Numbers that JavaScript takes for integers become integers, up to 2^53 - 1; larger ones are given as `bigint`.
   * InvalidArgumentError for what is no such value, and for one over 2 MiB: put parts of it, and link to them. When it is
   * stored, and what it links to cannot be fetched to be pinned, that is the error, and its pin is pending.
   */
  putValue(value: PutValue, options?: ValueOptions): Promise<FileInfo>;

  /**
   * What a path leads to. A name leads into a map, a number (from 0) into a list, a link to its block, also at the end; so
   * paths lead through values, directories, and from one to the other. A file, directory or raw block is a value too: that
   * of its root block. What is not held here is fetched, proven, and kept until room is made.
   *
   * Links are `{ '/': cid }`, or what `link` makes of their CIDs, as `CID.parse` of `multiformats` does. UnsupportedError
   * for a block in no proper form of its codec.
   */
  getValue<L = Link>(
    path: PathLike,
    options?: { link?: (cid: string) => L; offline?: boolean; signal?: AbortSignal },
  ): Promise<Value<L>>;

  /**
   * Stores single blocks in one commit: all of them or none. IntegrityError when one does not hash to its CID. They belong
   * to no stored file: they stay until `deleteBlocks`, a collection, or the deletion of a stored file that shares them; pin
   * them (`kind: 'direct'`), or the root of their DAG, to keep them in any case.
   */
  putBlocks(blocks: Iterable<{ cid: CidLike; bytes: Uint8Array }>, options?: { signal?: AbortSignal }): Promise<void>;

  /** A single block's bytes; one that is not held here is fetched, proven and kept. `exists` tells whether it is held. */
  getBlock(cid: CidLike, options?: { signal?: AbortSignal; offline?: boolean }): Promise<Uint8Array>;

  /**
   * Drops single blocks: all of them or none. DeniedError when a stored root needs one, and while files are being stored or
   * fetched. Every stored DAG is walked for it, so give many at once.
   */
  deleteBlocks(cids: Iterable<CidLike>, options?: { signal?: AbortSignal }): Promise<void>;

  /** The multihashes of all blocks held. */
  blockKeys(): AsyncGenerator<Uint8Array, void, undefined>;

  /** The state of each backend, with its evidence, and the figures of the store. */
  backendStatus(): Promise<Status>;

  /** Whether a remote can be used now. A store without one says false, and works. */
  isAvailable(): boolean;

  /** Sets limits; they hold until the storage is closed. */
  configureCache(config: CacheConfig): Promise<void>;

  /**
   * Asks the browser never to drop what this origin keeps for want of room, and tells whether it does so. It may ask the
   * user. Workers cannot ask: there it tells whether that was granted before.
   */
  persist(): Promise<boolean>;

  /** Makes everything acknowledged before survive a power cut. */
  flush(): Promise<void>;

  /**
   * Imports an archive (CAR, version 1 or 2). Each block is proven before it is stored: `IntegrityError` names one that is
   * not what its CID says, `CorruptError` says at which byte the archive is malformed.
   */
  importCar(archive: Data, options?: CarImportOptions & CallOptions): Promise<CarImport>;

  /** Gives up an import that could be resumed, and what came of it. */
  forgetCarImport(resume: string): Promise<void>;

  /**
   * Exports what these CIDs or paths lead to as an archive: depth first, each block once, and what leads there first. Of the
   * same DAG it is always the same. What is not held is fetched; if that cannot be, the stream fails before its first byte.
   */
  exportCar(paths: PathLike | PathLike[], options?: CarExportOptions & { signal?: AbortSignal }): ReadableStream<Uint8Array>;

  /**
   * Checks that the blocks held are whole, and that what roots and pins need is there. Corrupt blocks are set aside; with
   * `repair` what is corrupt or missing is fetched. It goes on by steps, so that others can read and write meanwhile.
   */
  verify(options?: VerifyOptions): Promise<VerifyReport>;

  /**
   * Drops what no stored file and no pin reaches: blocks put by themselves, fetched parts of files, what a crash left. In
   * steps of some milliseconds; others may read, store, pin and delete meanwhile, and nothing of theirs is taken. With
   * `dryRun` it only tells what would go. DeniedError while another one is under way.
   */
  collect(options?: {
    dryRun?: boolean;
    signal?: AbortSignal;
    onProgress?: (progress: CollectionProgress) => void;
  }): Promise<CollectionReport>;

  /** Has a listener told of each file that is evicted from now on, by this storage. */
  onEvicted(listener: (evicted: Evicted) => void): void;

  /** Closes it. Calls after it reject with CancelledError. */
  close(): void;
}

/** Opens a storage, or makes it. */
export function openStorage(options?: OpenOptions): Promise<Storage>;

/** The storage that all callers in this page or worker share; the first call's options count. */
export function getStorage(options?: OpenOptions): Promise<Storage>;

/** Closes the shared storage; the next `getStorage` opens it anew. Stored data stays. */
export function resetStorage(): Promise<void>;

/** What every call rejects with, an aborted one apart. */
export class StorageError extends Error {
  readonly code:
    | 'invalid-cid'
    | 'invalid-argument'
    | 'not-found'
    | 'not-available-offline'
    | 'unavailable'
    | 'integrity'
    | 'quota-exceeded'
    | 'corrupt'
    | 'denied'
    | 'conflict'
    | 'locked'
    | 'unsupported'
    | 'cancelled'
    | 'io';
}

/** The text is no CID that the engine knows. */
export class InvalidCidError extends StorageError {}
/** An option or argument is out of its range. */
export class InvalidArgumentError extends StorageError {}
/** The store has no such root, or there is nothing at this path, or of this name. */
export class NotFoundError extends StorageError {
  /** The CID, or the one at which the path begins; none for names, and for paths of the mutable tree. */
  readonly cid?: string;
  /** The path, which for a root is its CID; or the name. */
  readonly path: string;
}
/** It is not held locally, and this storage may not use the network. */
export class NotAvailableOfflineError extends StorageError {
  readonly cid: string;
  readonly reason: OfflineReason;
}
/** It is not held locally, and no remote gave it. */
export class UnavailableError extends StorageError {
  readonly cid: string;
  /** Who was asked, and what went wrong there. */
  readonly attempts: { readonly remote: string; readonly reason: string }[];
}
/** Bytes offered do not hash to their CID; nothing was stored. */
export class IntegrityError extends StorageError {
  readonly cid: string;
}
/** The limit or the browser's quota is reached; nothing of the call was stored. */
export class QuotaExceededError extends StorageError {
  /** Bytes the write needs; 0 when the browser did not say. */
  readonly needed: number;
  /** The limit; 0 when the browser did not say. */
  readonly limit: number;
}
/** Stored data is damaged; it was set aside and is not returned. Or an archive to be imported is. */
export class CorruptError extends StorageError {
  readonly cid: string | undefined;
}
/** The operation is refused. */
export class DeniedError extends StorageError {}
/** It is not what the call expected, or was changed meanwhile, and nothing of the call was done. */
export class ConflictError extends StorageError {
  /** What was to be changed: a name, or the root of the mutable tree. */
  readonly key: string;
}
/** Another tab has opened the database in a newer version, or the store in OPFS; or another process the folder. */
export class LockedError extends StorageError {}
/** Not offered by this build or for this kind of data. */
export class UnsupportedError extends StorageError {}
/** The storage was closed. */
export class CancelledError extends StorageError {}
/** The browser failed, or the tab that had the store open is gone; the same call may work later. */
export class IoError extends StorageError {}
