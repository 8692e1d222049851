import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { patientFetch } from './patient-fetch.ts';

test('it is fetch: method, fields, length, body, redirect and abort', async () => {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    if (request.url === '/hang') return;
    if (request.url === '/move') response.writeHead(302, { location: '/' }).end();
    else request.pipe(response.writeHead(201, { 'set-cookie': ['a=1', 'b=2'] }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  const { fetch, close } = patientFetch();
  try {
    const headers = { 'x-own': 'é', 'content-length': '4' };
    const answer = await fetch(new Request(`${base}/?x`, { method: 'PATCH', body: 'body', headers }));
    expect([answer.status, await answer.text(), answer.headers.getSetCookie()]).toEqual([201, 'body', ['a=1', 'b=2']]);
    expect([seen[0]?.method, seen[0]?.url, seen[0]?.headers['x-own'], seen[0]?.headers['content-length']]).toEqual([
      'PATCH',
      '/?x',
      'é',
      '4',
    ]);
    expect(seen[0]?.headers['transfer-encoding']).toBe(undefined);
    const moved = await fetch(new Request(`${base}/move`, { redirect: 'manual' }));
    expect([moved.status, moved.headers.get('location')]).toEqual([302, '/']);
    const gone = new AbortController();
    const waiting = fetch(new Request(`${base}/hang`, { signal: gone.signal }));
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(3);
    gone.abort();
    await expect(waiting).rejects.toThrow();
  } finally {
    await close();
    server.closeAllConnections();
    server.close();
  }
});
