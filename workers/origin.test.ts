import { describe, expect, it } from 'vitest';
import {
  AGENT,
  agentSocket,
  base,
  type Call,
  call,
  codeOf,
  newHost,
  newSession,
  ORIGIN,
  OWNER,
  signedIn,
} from './test-edge.ts';

const FOREIGN = 'https://chat.example';

const open = (path: string, origin: string | undefined, { headers, ...options }: Call = {}) =>
  call(path, {
    ...options,
    headers: { ...headers, Upgrade: 'websocket', ...(origin === undefined ? {} : { Origin: origin }) },
  });

/** 101, or the code of the refusal. */
async function outcome(response: Response): Promise<number | string> {
  return response.webSocket === null ? codeOf(response) : response.status;
}

async function clientOf(env: Call['env'] = {}): Promise<{ host: string; path: string }> {
  const host = newHost();
  await agentSocket(host);
  const { session_id } = await newSession(host, undefined, { token: OWNER, env });
  return { host, path: `${base(host)}/signal?session_id=${session_id}` };
}

describe('a WebSocket', () => {
  it.each([
    ['a program', undefined, {}, 101],
    ['the edge’s own page', ORIGIN, {}, 101],
    ['a foreign page', FOREIGN, {}, 'E_ORIGIN'],
    ['a page of the same host name, by http', 'http://edge.example', {}, 'E_ORIGIN'],
    ['a sandboxed page', 'null', {}, 'E_ORIGIN'],
    ['a page that the owner allows', FOREIGN, { ALLOWED_ORIGINS: `https://other.example, ${FOREIGN}` }, 101],
    ['another page', FOREIGN, { ALLOWED_ORIGINS: 'https://other.example' }, 'E_ORIGIN'],
    ['a page whose name begins like an allowed one', FOREIGN, { ALLOWED_ORIGINS: `${FOREIGN}.evil` }, 'E_ORIGIN'],
    ['any page, if the owner allows that', FOREIGN, { ALLOWED_ORIGINS: '*' }, 101],
    ['a sandboxed page, if the owner allows all', 'null', { ALLOWED_ORIGINS: '*' }, 101],
  ])('of signaling is for %s: %s', async (_name, origin, env, expected) => {
    const { path } = await clientOf();
    expect(await outcome(await open(path, origin, { env }))).toBe(expected);
  });

  it('of signaling is for every page where the host is open, and of nothing else', async () => {
    const { host, path } = await clientOf();
    const env = { OPEN_HOSTS: host };
    expect(await outcome(await open(path, FOREIGN, { env }))).toBe(101);
    expect(await outcome(await open(path.replace('/signal', '/relay'), FOREIGN, { env }))).toBe('E_ORIGIN');
    expect(await outcome(await open(path, FOREIGN, { env: { OPEN_HOSTS: 'other' } }))).toBe('E_ORIGIN');
    const tunnel = { env, token: OWNER, headers: { 'Direct-Host': host } };
    expect(await outcome(await open('/v1/realtime', FOREIGN, tunnel))).toBe('E_ORIGIN');
  });

  it('of an agent is none of a page’s', async () => {
    expect(await outcome(await open(`${base(newHost())}/signal`, FOREIGN, { token: AGENT }))).toBe('E_ORIGIN');
  });

  it('of an allowed page is not opened with the owner’s cookie', async () => {
    const options = { headers: await signedIn(), env: { ALLOWED_ORIGINS: FOREIGN } };
    expect(await outcome(await open('/v1/realtime', FOREIGN, options))).toBe('E_ORIGIN');
  });
});
