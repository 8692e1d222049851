/** Makes sockets in the namespace in which it runs, and hands them over to its parent: see namespaces.ts. */
import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server } from 'node:net';

const [kind, port, ...addresses] = process.argv.slice(2);

function open(address: string): Promise<Socket | Server> {
  return new Promise((resolve) => {
    if (kind === 'udp') {
      const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
      socket.bind(Number(port), address, () => resolve(socket));
    } else {
      const server = createServer().listen({ host: address, port: Number(port) }, () => resolve(server));
    }
  });
}

// The parent disconnects when all have arrived.
process.once('disconnect', () => process.exit(0));
for (const address of addresses) process.send?.(address, await open(address));
