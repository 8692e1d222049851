/** `client.WebSocket` beside Node’s own: the same table over a session, through the tunnel and without either. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Client, connect } from '../web/client/index.ts';
import { onPath } from './on-path.ts';
import { BEHAVIOURS, type Behaviour, endOfKilled, endOfUnchosen, type SocketClass } from './socket-behaviours.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

/** Neither signaling nor relay, as behind a firewall that lets plain addresses through. */
class TunnelOnly extends WebSocket {
  constructor(url: string, protocols?: string[]) {
    super(url.includes('/_direct/') ? 'ws://127.0.0.1:1' : url, protocols);
  }
}

let stack: Stack;
let overSession: Client;
let throughTunnel: Client;
beforeAll(async () => {
  stack = await Stack.start();
  const options = { url: stack.edge.url, host: HOST_ID, token: OWNER_TOKEN, webrtc: false };
  overSession = connect(options);
  throughTunnel = connect({ ...options, environment: { WebSocket: TunnelOnly } });
  await onPath(overSession, 'relay');
  expect(await throughTunnel.ready).toBe('tunnel');
});
afterAll(async () => {
  overSession?.close();
  throughTunnel?.close();
  await stack?.close();
});

let count = 0;
const at = (url: string) => `${url.replace('http', 'ws')}/v1/realtime?run=${++count}`;
const implementations: [string, () => [SocketClass, string]][] = [
  ['Node’s WebSocket', () => [WebSocket, at(stack.fake.url)]],
  ['over the session', () => [overSession.WebSocket, at(stack.edge.url)]],
  ['through the tunnel', () => [throughTunnel.WebSocket, at(stack.edge.url)]],
];

/** Through the tunnel it is Node’s WebSocket that carries texts, and changes them. */
const isChanged = ({ name, notInNode }: Behaviour, by: string) =>
  notInNode && (by === 'Node’s WebSocket' || (by === 'through the tunnel' && name.startsWith('text')));

describe.each(implementations)('%s', (name, make) => {
  test.each(BEHAVIOURS.filter((behaviour) => !isChanged(behaviour, name)))('$name', async ({ run, expected }) => {
    expect(await run(...make())).toEqual(expected);
  });

  test('a server that vanishes', async () => {
    const { [name]: expected = [1006] } = { 'through the tunnel': [1011], 'Node’s WebSocket': ['error', 1006] };
    expect(await endOfKilled(...make())).toEqual(expected);
  });

  test('a server that chooses none of the subprotocols', async () => {
    expect(await endOfUnchosen(...make())).toEqual([
      ['error', 3],
      ['close', 1006, '', false, 3],
    ]);
  });
});
