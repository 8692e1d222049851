import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalFetch, localFetch } from './local-fetch.ts';

let server: Server;
let url: string;
let gone: Promise<unknown> | undefined;
beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/silent') {
      gone = once(request.socket, 'close');
      return;
    }
    if (request.url === '/long') {
      gone = once(request.socket, 'close');
      response.write('x'.repeat(1000));
      return;
    }
    if (request.url === '/cut') {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
      return;
    }
    response.writeHead(302, { location: '/elsewhere', 'x-accept': request.headers.accept ?? '' });
    response.end('see there');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function text(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  let all = '';
  for await (const part of body ?? []) all += Buffer.from(part);
  return all;
}

// What discovery relies on, of this one and of the real one.
describe.each<[string, LocalFetch]>([
  ['localFetch', localFetch],
  ['fetch', fetch],
])('%s', (_name, ask) => {
  const get = (path: string, signal = AbortSignal.timeout(20_000)) =>
    ask(`${url}${path}`, { redirect: 'manual', signal, headers: { accept: 'text/plain' } });

  test('gives status, fields and body, and follows no redirect', async () => {
    const response = await get('/');
    expect(response.status).toBe(302);
    expect(response.headers.get('X-Accept')).toBe('text/plain');
    expect(response.headers.get('x-other')).toBeNull();
    expect(await text(response.body)).toBe('see there');
  });

  test('says why it could not connect', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    const init = { redirect: 'manual', signal: AbortSignal.timeout(20_000), headers: {} } as const;
    const failure: unknown = await ask(`http://127.0.0.1:${port}/`, init).catch((error: unknown) => error);
    expect(failure).toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  });

  test('ends with its signal', async () => {
    const abort = new AbortController();
    gone = undefined;
    const asked = get('/silent', abort.signal);
    await expect.poll(() => gone !== undefined).toBe(true);
    abort.abort();
    await expect(asked).rejects.toThrow();
    await gone;
  });

  test('ends the connection when the body is left', async () => {
    const { body } = await get('/long');
    for await (const part of body ?? []) {
      expect(part.length).toBeGreaterThan(0);
      break;
    }
    await gone;
  });

  test('rejects while reading a body that was cut', async () => {
    const { body } = await get('/cut');
    await expect(text(body)).rejects.toThrow();
  });
});
