// Copies made over loopback, with a delay before each request: the command in wasmtime, which reads back what it sent, against
// curl, which sends the same CAR and believes what it is told. Each into a fresh server, in turn.

import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BIG_BYTES, Figures, ROOT, SMALL_BYTES, SMALL_FILES, npmPackages, ratioBar, run, table } from './common.mjs';

const COUNTERPARTS = join(ROOT, 'tests/counterparts');
const COMMAND = join(ROOT, 'dist/ipfs-kit-storage.cli-http.wasm');
const WASMTIME = process.env.WASMTIME ?? 'wasmtime';
const DELAY = 25;

const DATA = { big: BIG_BYTES, small: SMALL_FILES * SMALL_BYTES };

export async function copies(folder, repetitions) {
  await npmPackages(COUNTERPARTS);
  const { start } = await import(join(COUNTERPARTS, 'counterparts.mjs'));
  const { KEYS } = await import(join(COUNTERPARTS, 's3.mjs'));
  const { presign } = await import(join(COUNTERPARTS, 'sign.mjs'));
  const command = join(folder, 'cli-http.cwasm');
  await run(WASMTIME, ['compile', '-o', command, COMMAND]);

  const keepers = {
    rpc: {
      configured: (url) => ({ kind: 'kubo', name: 'keeper', url }),
      curl: (url, car) => ['-F', `file=@${car}`, `${url}/api/v0/dag/import?pin-roots=true`],
    },
    s3: {
      configured: (endpoint) => ({
        ...{ kind: 's3', name: 'keeper', endpoint, region: KEYS.region, bucket: KEYS.bucket },
        ...{ accessKey: KEYS.accessKeyId, secretKey: KEYS.secretAccessKey },
      }),
      curl: (url, car) => ['-T', car, presign(url, KEYS, { method: 'PUT', key: 'plain.car' })],
    },
  };

  /** Calls the command over the store in `data`, with a file that configures the backends; its time without the start. */
  const kit = async (...args) => {
    const dirs = [`${join(folder, 'kept')}::/store`, `${folder}::/bench`].flatMap((dir) => ['--dir', dir]);
    const options = ['--store', '/store', '--durability', 'relaxed', '--json'];
    const before = performance.now();
    const printed = await run(WASMTIME, ['run', '--allow-precompiled', '-S', 'http', ...dirs, command, ...options, ...args]);
    return { seconds: (performance.now() - before) / 1000, said: printed.trim().split('\n').map((line) => JSON.parse(line)) };
  };

  /** `use` with a server that nobody has used before, behind the delay. */
  const fresh = async (name, use) => {
    const server = await start(name);
    const proxy = await start('faults', server.url);
    try {
      await proxy.put('/-/delay', DELAY);
      return await use(proxy);
    } finally {
      await proxy.stop();
      await server.stop();
    }
  };

  const figures = new Figures();
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    console.log(`copies, repetition ${repetition} of ${repetitions}`);
    for (const data of Object.keys(DATA)) {
      await mkdir(join(folder, 'kept'));
      const stored = await kit('add', ...(data === 'small' ? ['-r'] : []), `/bench/${data}`);
      const { cid } = stored.said.at(-1);
      const car = join(folder, `${data}.car`);
      await kit('car', 'export', '-o', `/bench/${data}.car`, cid);
      for (const [name, keeper] of Object.entries(keepers)) {
        const ours = await fresh(name, async (proxy) => {
          const configured = JSON.stringify({ backends: [keeper.configured(proxy.url)] });
          await writeFile(join(folder, 'backends.json'), configured);
          const backends = ['--backends', '/bench/backends.json'];
          const { seconds: start } = await kit(...backends, 'replicate', '--to', 'keeper', cid);
          await proxy.remove('/-/requests');
          const { seconds, said } = await kit(...backends, 'sync', '--wait', '10m');
          if (said.at(-1).verified !== 1) throw new Error(`no copy: ${JSON.stringify(said.at(-1))}`);
          const { requests } = await proxy.get('/-/requests');
          // What was proven at one server says nothing of the next one.
          await kit(...backends, 'release', cid);
          await kit(...backends, 'sync');
          return { seconds: seconds - start, requests: requests.length };
        });
        const plain = await fresh(name, async (proxy) => {
          const before = performance.now();
          await run('curl', ['--fail', '--silent', '--show-error', '-o', '/dev/null', ...keeper.curl(proxy.url, car)]);
          return { seconds: (performance.now() - before) / 1000 };
        });
        figures.add(`ours.${name}.${data}`, ours);
        figures.add(`curl.${name}.${data}`, plain);
      }
      figures.add(`car.${data}`, { bytes: (await stat(car)).size });
      await rm(join(folder, 'kept'), { recursive: true });
    }
  }
  print(figures, Object.keys(keepers));
}

function print(figures, keepers) {
  const title = `Copies, ${DELAY} ms before each request: sent and read back by the command in wasmtime, and sent by curl`;
  const speed = (who, name, data) => figures.megabytesPerSecond(`${who}.${name}.${data}.seconds`, DATA[data]);
  const subjects = { big: '256 MiB', small: `${SMALL_FILES} files of ${SMALL_BYTES / 1024} KiB` };
  const places = { rpc: 'an RPC server', s3: 'a server of S3' };
  const rows = keepers.flatMap((name) =>
    Object.entries(subjects).flatMap(([data, subject]) => [
      [`${subject} to ${places[name]}`, 'MB/s', speed('ours', name, data), speed('curl', name, data)],
      ['  requests', '', figures.of(`ours.${name}.${data}.requests`)],
    ]),
  );
  table(title, ['ours', 'curl'], rows);
  for (const name of keepers) {
    for (const [data, subject] of Object.entries(subjects)) {
      ratioBar(`${subject} to ${places[name]}`, speed('ours', name, data), speed('curl', name, data), 0.8);
    }
  }
}
