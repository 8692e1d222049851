/** Grants and revocations at the whole agent, whose edge is the test: it says what it likes. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { nodeEnvironment } from '../agent/runtime.ts';
import { decodeBase64url } from '../shared/base64url.ts';
import { type ChannelOpen, decodeEnvelope, encodeEnvelope } from '../shared/channel.ts';
import type { ErrorBody } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import { encodeGrant, type Grant } from '../shared/grant.ts';
import type { HeaderList } from '../shared/head.ts';
import type { Announcement } from '../shared/host-identity.ts';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import { sealedClientPath } from '../shared/sealed-path.ts';
import type { Session } from '../shared/session.ts';
import { clientSession } from '../shared/test-sessions.ts';
import { Stack } from './stack.ts';

let stack: Stack;
let server: WebSocketServer;
let link: WebSocket;
let announcement: Announcement;
const paths = new Map<number, PathEvents>();
let channels = 0;

beforeAll(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const announced = new Promise<Announcement>((resolve) => {
    server.on('connection', (socket) => {
      link = socket;
      socket.send(JSON.stringify({ type: 'ready', protocol_version: 1, host: 'home' }));
      socket.on('message', (data, isBinary) => {
        if (isBinary) {
          const { channel, message } = decodeEnvelope(data as Buffer);
          paths.get(channel)?.message(message);
          return;
        }
        const text = data.toString();
        if (text === 'ping') return socket.send('pong');
        const raw = JSON.parse(text) as { type?: string; announcement: Announcement };
        if (raw.type === 'announce') resolve(raw.announcement);
      });
    });
  });
  stack = await Stack.start();
  await stack.stopAgent();
  const { port } = server.address() as AddressInfo;
  await stack.startAgent({ signalingUrl: `http://127.0.0.1:${port}/_direct/h/home` });
  announcement = await announced;
});
afterAll(async () => {
  await stack?.close();
  server?.close();
});

/** A session of the edge itself, or of a client on a relay. */
function open(more: Partial<ChannelOpen> = {}): Session {
  const channel = ++channels;
  const sessionId = `session-${channel}`;
  link.send(JSON.stringify({ type: 'channel_open', channel, session_id: sessionId, ...more }));
  const inner: Path = {
    maxMessageBytes: MAX_MESSAGE_BYTES,
    capacity: () => MAX_MESSAGE_BYTES,
    send: (message) => link.send(encodeEnvelope(channel, message)),
    close: () => {},
    start: (events) => void paths.set(channel, events),
  };
  const key = (text: string) => decodeBase64url(text) ?? new Uint8Array();
  const recipient = { hostKey: key(announcement.host_key), relayKey: key(announcement.relay_key) };
  const path = more.relay ? sealedClientPath(inner, recipient, sessionId) : inner;
  return clientSession({ sessionId, path, environment: nodeEnvironment });
}

function begin(session: Session, path: string, headers: HeaderList = []): ClientExchange {
  const exchange = new ClientExchange(session.openStream());
  exchange.sendHead({ method: 'GET', path, headers }).catch(() => {});
  exchange.finish();
  return exchange;
}

async function ask(session: Session, path: string, headers: HeaderList = []): Promise<number | string> {
  const exchange = begin(session, path, headers);
  const { status } = await exchange.readHead();
  const parts: Uint8Array[] = [];
  for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
  return status === 200 ? status : (JSON.parse(Buffer.concat(parts).toString()) as ErrorBody).error.code;
}

const claim = (grant: Grant): HeaderList => [['direct-grant', encodeGrant(grant)]];
const revoke = (subject: string) => link.send(JSON.stringify({ type: 'revoked', subject }));
const SCOPED: Grant = { subject: 'key:a', prefixes: ['/v1/test'] };
const FOREVER = '/v1/test/trickle?ms=10&n=1000000';

describe('a request', () => {
  test('on a relay has the channel’s grant, whatever it says itself', async () => {
    const session = open({ relay: true, grant: SCOPED });
    expect(await ask(session, '/v1/test/trickle')).toBe(200);
    expect(await ask(session, '/v1/models', claim({ subject: 'owner' }))).toBe('E_FORBIDDEN');
    session.close('E_CANCELLED');
  });

  test('on a relay of which the edge says nothing is refused', async () => {
    const session = open({ relay: true });
    expect(await ask(session, '/v1/models', claim({ subject: 'owner' }))).toBe('E_FORBIDDEN');
    session.close('E_CANCELLED');
  });

  test('on the edge’s own channel has the grant in its head, also when the channel has one', async () => {
    const session = open({ grant: { subject: 'owner' } });
    expect(await ask(session, '/v1/models', claim({ subject: 'owner' }))).toBe(200);
    expect(await ask(session, '/v1/models', claim(SCOPED))).toBe('E_FORBIDDEN');
    expect(await ask(session, '/v1/models')).toBe('E_FORBIDDEN');
    session.close('E_CANCELLED');
  });
});

test('a revocation ends what runs, on relays and on the edge’s channels, and nobody else’s', async () => {
  const relay = open({ relay: true, grant: SCOPED });
  const edge = open();
  const mine = [begin(relay, FOREVER), begin(edge, FOREVER, claim(SCOPED))];
  const theirs = begin(edge, FOREVER, claim({ ...SCOPED, subject: 'key:b' }));
  for (const exchange of [...mine, theirs]) expect((await exchange.readHead()).status).toBe(200);
  revoke('key:a');
  for (const exchange of mine) {
    await expect(async () => {
      while ((await exchange.readData()) !== null);
    }).rejects.toMatchObject({ code: 'E_UNAUTHORIZED' });
  }
  expect([relay.error?.code, edge.error]).toEqual(['E_UNAUTHORIZED', undefined]);
  expect(await theirs.readData()).not.toBeNull();
  edge.close('E_CANCELLED');
});
