/** A proxy as in some offices: HTTPS passes, WebSockets do not. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Office {
  readonly url: string;
  /** Method and last part of the path of each request that was no WebSocket. */
  readonly requests: readonly string[];
  /** What becomes of new WebSockets: refused with 403, left without an answer, or let through. */
  webSockets: 'refused' | 'swallowed' | 'pass';
  close(): void;
}

/** Stands before `target`, an http origin on loopback. */
export async function startOffice(target: string, webSockets: Office['webSockets'] = 'refused'): Promise<Office> {
  const { port } = new URL(target);
  const requests: string[] = [];
  const sockets = new Set<Duplex>();
  const forwardTo = ({ method, url, headers }: IncomingMessage) =>
    request({ host: '127.0.0.1', port, method, path: url, headers });
  const server = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url?.split('?')[0]?.split('/').at(-1)}`);
    const forward = forwardTo(incoming);
    forward.on('response', (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forward.destroy());
    incoming.pipe(forward);
  });
  server.on('upgrade', (incoming, socket, head) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    if (office.webSockets === 'refused') socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    if (office.webSockets !== 'pass') return;
    const forward = forwardTo(incoming);
    forward.on('upgrade', (response, upstream, rest) => {
      const fields = Object.entries(response.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join('')}\r\n`);
      socket.write(rest);
      upstream.write(head);
      upstream.pipe(socket).on('close', () => upstream.destroy());
      socket.pipe(upstream).on('error', () => socket.destroy());
    });
    forward.on('error', () => socket.destroy());
    forward.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const office: Office = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    webSockets,
    close: () => {
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return office;
}
