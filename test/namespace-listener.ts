/** Makes a socket in the namespace in which it runs, and hands it over to its parent: see namespaces.ts. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [kind, host = '', port] = process.argv.slice(2);

if (kind === 'udp') {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.bind(Number(port), host, () => process.send?.('bound', socket, () => process.exit(0)));
} else {
  const server = createServer().listen({ host, port: Number(port) }, () => {
    process.send?.('listening', server, () => process.exit(0));
  });
}
