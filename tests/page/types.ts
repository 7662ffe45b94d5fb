import {
  getStorage,
  NotAvailableOfflineError,
  NotFoundError,
  openStorage,
  QuotaExceededError,
  resetStorage,
  StorageError,
  type BackendOptions,
  type CarImport,
  type CidObject,
  type FileInfo,
  type FileStat,
  type Named,
  type OfflineReason,
  type Pin,
  type Remote,
  type SignRequest,
  type Status,
  type TreeEntry,
  type TreeProgress,
  type TreeSource,
  type Value,
  type VerifyReport,
} from 'ipfs-kit-storage';
import { contentType, respond } from 'ipfs-kit-storage/gateway';

declare const folder: FileSystemDirectoryHandle;
declare const picker: HTMLInputElement;
declare const drop: DragEvent;

const sign = async ({ method, key, query }: SignRequest, { signal }: { signal: AbortSignal }) => `${method} ${key} ${query.uploadId} ${signal.aborted}`;
const backends: BackendOptions[] = [
  { kind: 'kubo', name: 'node', url: 'http://127.0.0.1:5001', atOnce: 1, bytesPerSecond: 1e6 },
  { kind: 's3', name: 'bucket', prefix: 'copies/', sign },
  { kind: 'archive', name: 'cold', upload: { url: 'https://a.example/up', token: 'x' }, pins: 'https://a.example', gateway: 'https://g.example', by: 'put', origins: [] },
];
// @ts-expect-error what signs is a function
backends.push({ kind: 's3', name: 'bucket', sign: 'https://a.example' });
// @ts-expect-error a bucket has no URL: what signs has it
backends.push({ kind: 's3', name: 'bucket', sign, url: 'https://a.example' });
// @ts-expect-error an archive has a gateway
backends.push({ kind: 'archive', name: 'cold', upload: 'https://a.example', pins: 'https://a.example' });

export async function uses(file: File, stream: ReadableStream<Uint8Array>, pieces: AsyncIterable<Uint8Array>) {
  const storage = await openStorage({
    name: 'x',
    durability: 'relaxed',
    verification: 'on-first-read',
    layout: { profile: 'unixfs-v0-2015', chunkSize: 1024 },
    forceFallback: true,
    remotes: ['https://gateway.example', { name: 'mine', get: async (cid, { signal }) => undefined }],
    backends,
  });
  const info: FileInfo = await storage.store(file, {
    pin: true,
    signal: AbortSignal.timeout(1000),
    onProgress: ({ done, total }) => console.log(done / (total ?? done)),
  });
  for (const data of ['text', new Uint8Array(1), new ArrayBuffer(1), stream, pieces, [new Uint8Array(1)]]) {
    await storage.store(data);
  }
  const many: FileInfo[] = await storage.storeMany([{ data: 'a', filename: 'a.txt' }]);
  const bytes: Uint8Array = await storage.retrieve(info.cid, { offset: 1, length: 2 });
  await storage.retrieve(`${info.cid}/a/b.txt`);
  const streamed: ReadableStream<Uint8Array> = storage.stream({ toString: () => info.cid });
  for await (const entry of storage.ls()) console.log(entry.filename?.length, entry.profile);
  const { files, next } = await storage.listFiles('/', { limit: 5 });
  const status: Status = await storage.backendStatus();
  const reason: OfflineReason | undefined = status.localOnly;
  const copies: string[] = status.backends.filter(({ role }) => role === 'backend').map(({ name, state }) => `${name}: ${state}`);
  const room: number = (status.quota ?? 0) - (status.quotaUsed ?? 0);
  const kept: boolean = status.persisted ?? (await storage.persist());
  try {
    await storage.delete(info.cid);
    await storage.delete(info.cid, { force: true });
  } catch (error) {
    if (error instanceof QuotaExceededError) console.log(error.needed + error.limit);
    if (error instanceof NotFoundError) console.log(error.cid, error.path);
    if (error instanceof NotAvailableOfflineError) console.log(error.cid, error.reason);
    if (error instanceof StorageError && error.code === 'denied') await storage.unpin(info.cid);
  }
  const labels = { owner: 'me' };
  const pin: Pin = await storage.pin(info.cid, { kind: 'direct', name: 'x', labels, expires: new Date(), offline: true });
  await storage.pin(info.cid, { expires: Date.now() + 1000, onFetched: ({ bytes }) => console.log(bytes) });
  for await (const { cid, kind, labels, blocks, bytes } of storage.pins()) console.log(cid, kind, labels.owner, blocks, bytes);
  const named: Named = await storage.setName('a', info.cid, { expect: null });
  for await (const { name, cid } of storage.names('a')) await storage.removeName(name, { expect: cid });
  const names: Named[] = (await storage.listNames({ prefix: named.name, limit: 5 })).names;
  await storage.files.write('/a', stream, { create: true, mtime: new Date(), signal: AbortSignal.timeout(1000) });
  const stat: FileStat = await storage.files.stat('/a');
  for await (const { filename, kind, size } of storage.files.list()) console.log(filename, kind === 'file', (size ?? 0) + stat.size);
  const old: string | undefined = (await storage.files.history()).at(-1)?.cid;
  const listed = await storage.listPins({ limit: 5 });
  await storage.configureCache({ policy: 'arc' });
  await storage.configureCache({ memoryBytes: 0, diskBytes: Infinity, policy: 'lru' });
  await (await getStorage()).flush();
  await resetStorage();
  await storage.putBlocks([{ cid: info.cid, bytes: new Uint8Array(1) }], { signal: AbortSignal.timeout(1000) });
  const block: Uint8Array = await storage.getBlock(info.cid, { offline: true });
  for await (const key of storage.blockKeys()) console.log(key.length);
  await storage.deleteBlocks([info.cid]);
  const linked: CidObject = { '/': new Uint8Array(36), asCID: true };
  const put = await storage.putValue([null, 1n, { a: { '/': info.cid }, b: linked, c: new Uint8Array(1) }], { codec: 'dag-json' });
  const value: Value = await storage.getValue(`${put.cid}/2`, { offline: true });
  const urls: Value<URL> = await storage.getValue(put.cid, { link: (cid) => new URL(`ipfs://${cid}`) });
  const report: VerifyReport = await storage.verify({ sample: 0.5, repair: true, onProgress: ({ blocks }) => console.log(blocks) });
  console.log(report.sound, report['pin-size'].found, report.findings.map(({ cid, some }) => [cid, ...some]));
  const imported: CarImport = await storage.importCar(new Blob(), { pin: true, resume: 'it', signal: AbortSignal.timeout(1) });
  const archive: ReadableStream<Uint8Array> = storage.exportCar(imported.roots[0].cid, { version: 2, scope: 'entity', from: -1 });
  await storage.exportCar([info.cid, 'x/y'], { offline: true }).pipeTo(new WritableStream());
  await storage.forgetCarImport('it');
  const entries: TreeEntry[] = [{ path: 'a', content: stream, mode: 0o600, mtime: new Date() }, { path: 'b', target: 'a' }];
  const tree: FileInfo = await storage.storeTree(entries, { filename: 'x', pin: true, layout: { profile: 'unixfs-v0-2015' } });
  async function* later() {
    yield { path: 'a/b', content: file, mtime: file.lastModified };
    yield { path: 'c' };
  }
  const source: TreeSource = folder;
  const onProgress = ({ path, done, files }: TreeProgress) => console.log(path.length, done + files);
  for (const one of [later(), source, picker.files!, [file], drop.dataTransfer!, drop.dataTransfer!.items]) {
    await storage.storeTree(one, { hidden: true, onProgress, signal: AbortSignal.timeout(1000) });
  }
  const held: boolean = (await storage.exists(info.cid)) && storage.isAvailable();
  storage.close();

  // @ts-expect-error entries have a path
  await storage.storeTree([{ content: 'x' }]);
  // @ts-expect-error a file is `content`
  await storage.storeTree([{ path: 'x', data: 'x' }]);
  const response: Response = await respond(new Request('/ipfs/x'), getStorage(), { offline: true, scripts: 'isolated' });
  const types: [string, string | undefined] = [contentType('a.txt', bytes), contentType('a.txt')];
  // @ts-expect-error no such policy for scripts
  await respond(new Request('/ipfs/x'), storage, { scripts: 'some' });
  // @ts-expect-error no such version
  storage.exportCar('x', { version: 3 });
  // @ts-expect-error a number is no data
  await storage.store(42);
  // @ts-expect-error no such option
  await storage.store('x', { pinned: true });
  // @ts-expect-error no such durability
  await openStorage({ durability: 'maybe' });
  // @ts-expect-error a remote has a `get`
  await openStorage({ remotes: [{ name: 'none' } satisfies Remote] });
  // @ts-expect-error no such policy
  await storage.configureCache({ policy: 'fifo' });
  // @ts-expect-error a function is no value
  await storage.putValue(() => {});
  // @ts-expect-error values are not put as files are
  await storage.putValue(1, { codec: 'raw' });
  // @ts-expect-error no such kind
  await storage.pin('x', { kind: 'all' });
  return { archive, tree, pin, listed, many, bytes, block, streamed, files, next, reason, room, kept, held, value, urls, response, types };
}
