import { expect, test } from 'vitest';
import { newId } from '../../shared/new-id.ts';
import { createHeld } from './held.ts';
import { type Answer, failure, ORIGIN, reply, testHost } from './test-host.ts';

const fine: Answer = (exchange) => reply(exchange, 200, [], 'fine');

function held(answer: Answer = fine, options: Parameters<typeof testHost>[1] = {}) {
  const host = testHost(answer, options);
  return { ...host, ...createHeld(host.fetch, options.origin ?? ORIGIN) };
}

test('over the session, heads say it', async () => {
  const { fetch, resume, release, heads, https } = held();
  const id = newId();
  expect(await (await fetch('/v1/x?y', { method: 'POST', body: 'z', hold: id })).text()).toBe('fine');
  expect(await (await resume(id, 3)).text()).toBe('fine');
  await release(id);
  expect(heads).toMatchObject([
    { method: 'POST', path: '/v1/x?y', hold: id },
    { method: 'GET', path: '/', resume: { id, from: 3 } },
    { method: 'DELETE', path: '/', resume: { id, from: 0 } },
  ]);
  expect(https).toEqual([]);
  await fetch('/v1/x');
  expect(heads.at(-1)).not.toHaveProperty('hold');
});

test('over HTTPS, fields say it, to an address that is no page of the edge', async () => {
  const { fetch, resume, release, https } = held(fine, { route: async () => undefined });
  const id = newId();
  await fetch('/v1/x', { method: 'POST', body: 'z', hold: id });
  await resume(id, 3);
  await release(id);
  const said = https.map(({ method, url, headers }) => [
    method,
    url,
    headers.get('direct-hold'),
    headers.get('direct-resume'),
    headers.get('direct-host'),
  ]);
  expect(said).toEqual([
    ['POST', `${ORIGIN}/v1/x`, id, null, 'box'],
    ['GET', `${ORIGIN}/v1/`, null, `${id} 3`, 'box'],
    ['DELETE', `${ORIGIN}/v1/`, null, `${id} 0`, 'box'],
  ]);
});

test('a redirect is followed with the same id', async () => {
  const { fetch, heads } = held((exchange, { path }) =>
    path === '/v1/x' ? reply(exchange, 307, [['location', '/v1/y']]) : reply(exchange, 200, [], 'there'),
  );
  const id = newId();
  expect(await (await fetch('/v1/x', { hold: id })).text()).toBe('there');
  expect(heads).toMatchObject([
    { path: '/v1/x', hold: id },
    { path: '/v1/y', hold: id },
  ]);
});

test('nothing of it goes to other origins', async () => {
  const { fetch, https } = held();
  await fetch('https://else.example/v1/x', { hold: newId() });
  expect(https[0]?.headers.has('direct-hold')).toBe(false);
  // Where the host's origin is not the edge, plain HTTPS goes to a server that knows nothing of the host.
  const elsewhere = held(fine, { origin: 'https://app.example', route: async () => undefined });
  expect((await failure(elsewhere.resume(newId(), 0))).code).toBe('E_PATH_LOST');
  await elsewhere.fetch('https://app.example/v1/x', { hold: newId() });
  expect(elsewhere.https.map(({ headers }) => headers.has('direct-hold'))).toEqual([false]);
});

test('what is no id and no offset is refused here', async () => {
  const { fetch, resume, release, heads } = held();
  for (const id of ['', 'short', `${newId()}=`]) {
    await expect(fetch('/v1/x', { hold: id })).rejects.toThrow(TypeError);
    await expect(resume(id, 0)).rejects.toThrow(TypeError);
    await expect(release(id)).rejects.toThrow(TypeError);
  }
  for (const from of [-1, 0.5, Number.NaN]) await expect(resume(newId(), from)).rejects.toThrow(TypeError);
  expect(heads).toEqual([]);
});

test('to release what the host does not have is fine, and anything else is not', async () => {
  await held((exchange) => reply(exchange, 404)).release(newId());
  expect((await failure(held((exchange) => reply(exchange, 503)).release(newId()))).code).toBe('E_PATH_LOST');
});

test('an abort ends the reading', async () => {
  const { resume } = held(async (exchange) => {
    await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    await exchange.sendData(new Uint8Array(1));
  });
  const abort = new AbortController();
  const response = await resume(newId(), 0, { signal: abort.signal });
  const text = response.text();
  abort.abort();
  await expect(text).rejects.toMatchObject({ name: 'AbortError' });
});
