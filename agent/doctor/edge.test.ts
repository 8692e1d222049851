/** Signaling by WebSocket and by polls, against servers that are an edge, something else, or silent. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { DirectError, errorBody } from '../../shared/errors.ts';
import { checkPoll, checkWebSocket, reaches } from './edge.ts';
import { told } from './test-doctor.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

interface Behaviour {
  request?: RequestListener;
  upgrade?: (socket: Duplex) => void;
}

/** The signaling URL of a host there. */
async function serve({ request = () => {}, upgrade }: Behaviour): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((message, response) => {
    seen.push(message.url ?? '');
    request(message, response);
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (message, socket, head) => {
    seen.push(message.url ?? '');
    if (upgrade !== undefined) upgrade(socket);
    // As the edge does for a session that is none.
    else sockets.handleUpgrade(message, socket, head, (accepted) => accepted.close(4017));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return { url: `http://127.0.0.1:${address.port}/_direct/h/attic`, seen };
}

const never = new AbortController().signal;
const soon = () => AbortSignal.timeout(100);
const withoutTimes = (text: string) => text.replaceAll(/\d+ ms/g, '… ms');

test('an edge, as a client without a session: the agent’s own place is not touched', async () => {
  const { url, seen } = await serve({
    request: (_, response) => {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify(errorBody(new DirectError('E_SESSION_UNKNOWN'))));
    },
  });
  const findings = [...(await checkWebSocket(url, never)), ...(await checkPoll(url, fetch, never))];
  expect(withoutTimes(told(findings))).toMatchInlineSnapshot(`
    "  ✓ WebSockets to the edge work (… ms).
      ✓ Polling the edge works (… ms)."
  `);
  // Without a session id it would be the agent's.
  expect(seen.every((path) => path.includes('?session_id='))).toBe(true);
});

test('a proxy that passes no WebSockets, and answers polls itself', async () => {
  const { url } = await serve({
    request: (_, response) => void response.writeHead(403, { 'content-type': 'text/html' }).end('<h1>Blocked</h1>'),
    upgrade: (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'),
  });
  const findings = [...(await checkWebSocket(url, never)), ...(await checkPoll(url, fetch, never))];
  expect(told(findings)).toMatchInlineSnapshot(`
    "  ! No WebSocket to the edge (answered with status 403).
        The agent falls back to polling by HTTPS, which is slower to answer and costs more requests.
        → Let a proxy or firewall before this machine pass WebSockets (“Upgrade: websocket”).
      ✗ Polling the edge does not work (status 403, and not as an edge of direct-agent answers).
        Where WebSockets are blocked, there is no other way to the edge.
        → See the lines about the edge above."
  `);
});

test('silence', async () => {
  const { url } = await serve({ upgrade: () => {} });
  const findings = [...(await checkWebSocket(url, soon())), ...(await checkPoll(url, fetch, soon()))];
  expect(findings.map(({ state, data }) => [state, data])).toEqual([
    ['warning', { problem: 'no answer in time' }],
    ['failure', { problem: 'no answer in time' }],
  ]);
});

test('nobody there', async () => {
  const url = 'http://127.0.0.1:2/_direct/h/attic';
  const findings = [...(await checkWebSocket(url, never)), ...(await checkPoll(url, fetch, never))];
  expect(findings.map(({ data }) => data)).toEqual([{ problem: 'ECONNREFUSED' }, { problem: 'ECONNREFUSED' }]);
  expect(await reaches('127.0.0.1', 2, never)).toBeUndefined();
  expect(await reaches('127.0.0.1', Number(new URL((await serve({})).url).port), never)).toEqual(expect.any(Number));
});
