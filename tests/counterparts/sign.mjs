// Presigned URLs for S3 (AWS Signature Version 4, in the query), as an application's own server makes them.

import { createHash, createHmac } from 'node:crypto';

const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
const escaped = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** `{ method, key, query }` to a URL that is good for some minutes; without a key it is the bucket's. */
export function presign(endpoint, keys, { method, key = '', query = {} }) {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = [time.slice(0, 8), keys.region, 's3', 'aws4_request'];
  const all = {
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': [keys.accessKeyId, ...scope].join('/'),
    'X-Amz-Date': time,
    'X-Amz-Expires': '900',
    'X-Amz-SignedHeaders': 'host',
    ...query,
  };
  const names = Object.keys(all).sort();
  const asked = names.map((name) => `${escaped(name)}=${escaped(all[name])}`).join('&');
  const path = `/${[keys.bucket, ...(key ? key.split('/') : [])].map(escaped).join('/')}`;
  const canonical = [method, path, asked, `host:${new URL(endpoint).host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const secret = scope.reduce(hmac, `AWS4${keys.secretAccessKey}`);
  const signature = hmac(secret, ['AWS4-HMAC-SHA256', time, scope.join('/'), hash].join('\n')).toString('hex');
  return `${endpoint}${path}?${asked}&X-Amz-Signature=${signature}`;
}
