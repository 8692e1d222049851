/** A TCP forwarder, on loopback unless told otherwise, whose connections a test can cut. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Forwarder {
  /** Origin in front of the target's. */
  readonly url: string;
  /** Ends every connection at once. */
  cut(): void;
  /** While true, new connections are cut at once. */
  refuses: boolean;
  close(): void;
}

/** Sees one connection's bytes as they pass. */
export interface Tap {
  /** To the target. */
  up(bytes: Buffer): void;
  /** From the target. */
  down(bytes: Buffer): void;
  closed(): void;
}

/** Forwards to `target`, an http origin; `tap` is asked for each connection. `listening` is a server that does so. */
export async function startForwarder(target: string, tap?: () => Tap, listening?: Server): Promise<Forwarder> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    // A packet that waits for the acknowledgement of the one before it is up to 40 ms late.
    socket.setNoDelay();
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    return socket;
  };
  const server = listening ?? createServer().listen(0, '127.0.0.1');
  server.on('connection', (socket: Socket) => {
    keep(socket);
    if (forwarder.refuses) {
      socket.destroy();
      return;
    }
    const forward = keep(connect(Number(port), hostname));
    const tapped = tap?.();
    if (tapped !== undefined) {
      socket.on('data', (bytes) => tapped.up(bytes)).on('close', () => tapped.closed());
      forward.on('data', (bytes) => tapped.down(bytes));
    }
    socket.pipe(forward).pipe(socket);
    socket.on('close', () => forward.destroy());
    forward.on('close', () => socket.destroy());
  });
  if (!server.listening) await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const { address, family, port: ownPort } = server.address() as AddressInfo;
  const forwarder: Forwarder = {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${ownPort}`,
    refuses: false,
    cut,
    close: () => {
      server.close();
      cut();
    },
  };
  return forwarder;
}
