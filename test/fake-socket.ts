/**
 * The fake LLM's WebSocket, at any address. It echoes, and does what some texts say: `close 4002 reason`, `kill` (as a
 * crash), `count 1000` (that many numbers), `tick 100 20` (likewise, 20 ms
 * apart). `?status=401` refuses, `?protocol=b` chooses.
 */
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';

export interface RecordedSocket {
  /** As it stood in the request line. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  /** The end as the fake saw it; 1006 when its client was lost. */
  closed: { code: number; reason: string } | undefined;
}

/** Serves upgrades of `server`, of which `trusts` tells the good ones. Returns the sockets, in order. */
export function serveSockets(server: Server, trusts: (request: IncomingMessage) => boolean): RecordedSocket[] {
  const recorded: RecordedSocket[] = [];
  const sockets = new WebSocketServer({ noServer: true, handleProtocols });
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const url = request.url ?? '';
    const status = trusts(request) ? new URL(url, 'http://fake').searchParams.get('status') : '403';
    if (status !== null) return refuse(socket, Number(status));
    sockets.handleUpgrade(request, socket, head, (opened) => {
      const record: RecordedSocket = { url, headers: request.headers, closed: undefined };
      recorded.push(record);
      opened.once('close', (code, reason) => {
        record.closed = { code, reason: reason.toString() };
      });
      opened.on('message', (data, isBinary) => act(opened, data as Buffer, isBinary));
    });
  });
  return recorded;
}

/** None unless the address asks for one: a server may know none of those that are offered. */
function handleProtocols(offered: Set<string>, request: IncomingMessage): string | false {
  const wanted = new URL(request.url ?? '', 'http://fake').searchParams.get('protocol') ?? '';
  return offered.has(wanted) && wanted;
}

function refuse(socket: Socket, status: number): void {
  const body = JSON.stringify({ error: { message: 'no WebSocket for you' } });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function act(socket: WebSocket, data: Buffer, isBinary: boolean): void {
  const [word, number, reason] = isBinary ? [] : data.toString().split(' ');
  switch (word) {
    case 'kill':
      socket.terminate();
      break;
    case 'close':
      socket.close(Number(number), reason);
      break;
    case 'count':
      for (let i = 0; i < Number(number); i++) socket.send(`${i}`);
      break;
    case 'tick':
      void tick(socket, Number(number), Number(reason));
      break;
    default:
      socket.send(data, { binary: isBinary });
  }
}

async function tick(socket: WebSocket, count: number, ms: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    socket.send(`${i}`);
    await delay(ms);
  }
}
