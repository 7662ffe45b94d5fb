// The router answers in both forms, filters or not, and adds what nobody knows.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { start } from './counterparts.mjs';

const CID = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy';
const OTHER = 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq';
const GATEWAY = 'transport-ipfs-gateway-http';
const PROVIDERS = [
  { Schema: 'peer', ID: 'one', Addrs: ['/dns/a.test/tcp/443/https', '/ip4/127.0.0.1/tcp/4001'], Protocols: [GATEWAY] },
  { Schema: 'peer', ID: 'two', Addrs: ['/ip4/127.0.0.1/tcp/4001'], Protocols: ['transport-bitswap'] },
  { Schema: 'peer', ID: 'three', Addrs: ['/ip4/127.0.0.1/tcp/4001'], Protocols: [GATEWAY] },
];

let routing;
before(async () => {
  routing = await start('routing');
  await routing.put('/-/providers', { cid: CID, providers: PROVIDERS });
});
after(() => routing?.stop());
beforeEach(() => routing.put('/-/ways', null));

const ask = (query = '', accept = 'application/json', cid = CID) =>
  fetch(`${routing.url}/routing/v1/providers/${cid}${query}`, { headers: { accept } });
const ids = (records) => records.map(({ ID }) => ID);

test('JSON and lines of it, with what nobody knows', async () => {
  const { Providers } = await (await ask()).json();
  assert.deepEqual(ids(Providers), ['one', 'two', 'three', undefined]);
  assert.deepEqual([Providers[0].Extra, Providers[3].Schema], ['field', 'of-tomorrow']);
  const lines = await ask('', 'application/x-ndjson, application/json');
  assert.equal(lines.headers.get('content-type'), 'application/x-ndjson');
  const records = (await lines.text()).trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(records, Providers);
  await routing.put('/-/ways', { form: 'json' });
  assert.equal((await ask('', 'application/x-ndjson')).headers.get('content-type'), 'application/json');
});

test('filters, unless it is told to ignore them', async () => {
  const query = `?filter-protocols=${GATEWAY}&filter-addrs=https,http`;
  const { Providers } = await (await ask(query)).json();
  assert.deepEqual(ids(Providers), ['one', undefined]);
  assert.deepEqual(Providers[0].Addrs, PROVIDERS[0].Addrs.slice(0, 1));
  await routing.put('/-/ways', { unfiltered: true });
  assert.equal((await (await ask(query)).json()).Providers.length, 4);
});

test('nothing is 404, or an empty list; other failures are as told', async () => {
  assert.equal((await ask('', 'application/json', OTHER)).status, 404);
  assert.equal((await ask('', 'application/json', 'nonsense')).status, 422);
  await routing.put('/-/ways', { empty: true });
  assert.deepEqual(await (await ask('', 'application/json', OTHER)).json(), { Providers: null });
  assert.equal(await (await ask('', 'application/x-ndjson', OTHER)).text(), '');
  await routing.put('/-/ways', { status: 503 });
  assert.equal((await ask()).status, 503);
  assert.ok((await routing.get('/-/requests')).requests.length > 4);
});
