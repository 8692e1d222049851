/**
 * The wires of a slow internet (slow-internet.ts) as a process of its own: an Ethernet switch that passes each frame on
 * `delayMs` after it came. Each of its ports is a VXLAN tunnel (RFC 7348): UDP port `firstPort` + n of `address`, whose
 * other end is the same port of `remote`.
 */
import { createSocket } from 'node:dgram';

const [address = '', remote = '', firstPort = '', delayMs = '', ...stations] = process.argv.slice(2);
/** Before the frame, which begins with the address of who shall get it. */
const VXLAN_HEADER_BYTES = 8;

const ports = stations.map((_, n) => Number(firstPort) + n);
/** Station → the socket that leads to it. */
const sockets = stations.map(() => createSocket('udp4'));

for (const socket of sockets) {
  socket.on('message', (packet) => {
    const station = packet.toString('hex', VXLAN_HEADER_BYTES, VXLAN_HEADER_BYTES + 6);
    const to = stations.indexOf(station);
    if (to >= 0) setTimeout(() => sockets[to]?.send(packet, ports[to] ?? 0, remote), Number(delayMs));
  });
}
await Promise.all(
  sockets.map((socket, n) => new Promise<void>((resolve) => socket.bind(ports[n] ?? 0, address, resolve))),
);
process.stdout.write('ready\n');

// Whoever started it holds the other end of stdin: without that it is of no use.
process.stdin.resume().on('end', () => process.exit(0));
