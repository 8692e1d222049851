import { describe, expect, test } from 'vitest';
import { ProtocolError } from './errors.ts';
import { AgentExchange, ClientExchange } from './exchange.ts';
import { encodeHead, parseRequestHead, parseResponseHead, parseTrailers, type RequestHead } from './head.ts';
import { MAX_HEAD_BYTES, MAX_HEADERS } from './limits.ts';
import { memoryPaths } from './memory-path.ts';
import { TestClock } from './test-clock.ts';
import { agentSession, clientSession } from './test-sessions.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

test('an upgrade that the client did not ask for is refused', async () => {
  const [left, right] = memoryPaths();
  const common = { sessionId: 'test', environment: new TestClock() };
  agentSession({
    ...common,
    path: right,
    events: {
      stream: (stream) => {
        void new AgentExchange(stream).sendHead({ status: 101, statusText: '', headers: [] });
      },
    },
  });
  const client = clientSession({ ...common, path: left });
  const ask = (head: RequestHead) => {
    const exchange = new ClientExchange(client.openStream());
    void exchange.sendHead(head);
    return exchange.readHead();
  };
  const head: RequestHead = { method: 'GET', path: '/', headers: [] };
  await expect(ask(head)).rejects.toThrow(ProtocolError);
  expect((await ask({ ...head, protocol: 'websocket' })).status).toBe(101);
});

describe('heads', () => {
  test('survive the wire, with names in lower case and repeated fields in order', () => {
    const head = parseRequestHead(
      json({
        method: 'POST',
        path: '/v1/x?y',
        headers: [
          ['X-A', '1'],
          ['x-a', 'é'],
        ],
      }),
    );
    expect(head).toEqual({
      method: 'POST',
      path: '/v1/x?y',
      headers: [
        ['x-a', '1'],
        ['x-a', 'é'],
      ],
    });
    expect(parseRequestHead(encodeHead(head))).toEqual(head);
    const response = { status: 299, statusText: 'Fine', headers: [] };
    expect(parseResponseHead(encodeHead(response))).toEqual(response);
    expect(parseTrailers(encodeHead([['x', 'y']]))).toEqual([['x', 'y']]);
  });

  test.each([
    ['no object', []],
    ['no method', { path: '/', headers: [] }],
    ['a method with a space', { method: 'GET /', path: '/', headers: [] }],
    ['no path', { method: 'GET', headers: [] }],
    ['fields as an object', { method: 'GET', path: '/', headers: {} }],
    ['a field that is no pair', { method: 'GET', path: '/', headers: [['a']] }],
    ['a name with a colon', { method: 'GET', path: '/', headers: [['a:b', 'c']] }],
    ['a value with a line break', { method: 'GET', path: '/', headers: [['a', 'b\r\nc: d']] }],
    ['a value with NUL', { method: 'GET', path: '/', headers: [['a', '\0']] }],
    ['a value beyond Latin-1', { method: 'GET', path: '/', headers: [['a', '→']] }],
    ['too many fields', { method: 'GET', path: '/', headers: Array(MAX_HEADERS + 1).fill(['a', 'b']) }],
  ])('a request with %s is refused', (_name, value) => {
    expect(() => parseRequestHead(json(value))).toThrow(ProtocolError);
  });

  test.each([[100], [199], [600], [200.5], ['200']])('status %s is refused', (status) => {
    expect(() => parseResponseHead(json({ status, statusText: '', headers: [] }))).toThrow(ProtocolError);
  });

  test('an upgrade is to a WebSocket, by GET, and answered with 101', () => {
    const head = { method: 'GET', path: '/v1/realtime', protocol: 'websocket' as const, headers: [] };
    expect(parseRequestHead(encodeHead(head))).toEqual(head);
    expect(parseRequestHead(json({ method: 'GET', path: '/', headers: [] }))).not.toHaveProperty('protocol');
    for (const other of [{ protocol: 'h2c' }, { protocol: null }, { method: 'POST' }]) {
      expect(() => parseRequestHead(json({ ...head, ...other }))).toThrow(ProtocolError);
    }
    const answer = { status: 101, statusText: '', headers: [] };
    expect(parseResponseHead(encodeHead(answer))).toEqual(answer);
  });

  test('a response is held under an id, and resumed or released with it, from a byte on', () => {
    const id = 'AbCdEfGhIjKlMnOpQrSt-_';
    const head = { method: 'POST', path: '/v1/x', headers: [], hold: id };
    expect(parseRequestHead(encodeHead(head))).toEqual(head);
    const resume = { method: 'GET', path: '/', headers: [], resume: { id, from: 2 ** 40 } };
    expect(parseRequestHead(encodeHead(resume))).toEqual(resume);
    expect(parseRequestHead(encodeHead({ ...resume, method: 'DELETE' }))).toEqual({ ...resume, method: 'DELETE' });
    for (const hold of [id.slice(1), 'a'.repeat(65), `${id}=`, `${id} `, 1, null]) {
      expect(() => parseRequestHead(json({ ...head, hold }))).toThrow(ProtocolError);
      expect(() => parseRequestHead(json({ ...resume, resume: { id: hold, from: 0 } }))).toThrow(ProtocolError);
    }
    for (const from of [-1, 0.5, '0', 2 ** 53, undefined, null]) {
      expect(() => parseRequestHead(json({ ...resume, resume: { id, from } }))).toThrow(ProtocolError);
    }
    for (const other of [{ path: '/v1/x' }, { method: 'POST' }, { hold: id }, { protocol: 'websocket' }]) {
      expect(() => parseRequestHead(json({ ...resume, ...other }))).toThrow(ProtocolError);
    }
    const socket = { method: 'GET', path: '/', protocol: 'websocket', headers: [], hold: id };
    expect(() => parseRequestHead(json(socket))).toThrow(ProtocolError);
  });

  test('a request is for the models, or for a service that is known', () => {
    const head = { method: 'GET', path: '/me', service: 'web_ui' as const, headers: [] };
    expect(parseRequestHead(encodeHead(head))).toEqual(head);
    expect(parseRequestHead(encodeHead({ ...head, protocol: 'websocket' }))).toEqual({
      ...head,
      protocol: 'websocket',
    });
    expect(parseRequestHead(json({ method: 'GET', path: '/', headers: [] }))).not.toHaveProperty('service');
    for (const service of ['models', '', null, true, ['web_ui']]) {
      expect(() => parseRequestHead(json({ ...head, service }))).toThrow(ProtocolError);
    }
  });

  test('a head that is not JSON or not UTF-8 is refused', () => {
    expect(() => parseRequestHead(Buffer.from('GET / HTTP/1.1'))).toThrow(ProtocolError);
    expect(() => parseTrailers(bytes('ff'))).toThrow(ProtocolError);
  });

  test('a head over the limit is refused where it is made', () => {
    const large = { method: 'GET', path: '/', headers: [['cookie', 'x'.repeat(MAX_HEAD_BYTES)]] as [string, string][] };
    expect(() => encodeHead(large)).toThrow('too large');
  });
});
