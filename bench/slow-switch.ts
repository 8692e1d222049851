/**
 * The wires of a slow internet (slow-internet.ts) as a process of its own: an Ethernet switch that passes each frame on
 * `delayMs` after it came. Each of its ports is a VXLAN tunnel (RFC 7348): UDP port `firstPort` + n of `address`, whose
 * other end is the same port of `remote`. With SLOW_SWITCH_TRACE=1 it writes what it saw, a WirePacket in each line.
 */
import { DelayLine, wireSocket, wireTo } from '../test/delay-line.ts';
import { purposeOf } from './packets.ts';
import { wallClock } from './wall-clock.ts';

const [address = '', remote = '', firstPort = '', delayMs = '', ...stations] = process.argv.slice(2);
/** Before the frame, which begins with the address of who shall get it. */
const VXLAN_HEADER_BYTES = 8;

const traces = process.env.SLOW_SWITCH_TRACE === '1';
const clock = wallClock();

function trace(from: string, to: string, packet: Buffer): void {
  const what = purposeOf(packet.subarray(VXLAN_HEADER_BYTES));
  if (what !== undefined) process.stdout.write(`${JSON.stringify({ atMs: clock(), from, to, what })}\n`);
}

/** Station → the way that leads to it. */
const lines = new Map<string, DelayLine<Uint8Array>>();
for (const [n, station] of stations.entries()) {
  lines.set(station, new DelayLine(Number(delayMs), await wireTo(remote, Number(firstPort) + n)));
}
for (const [n, from] of stations.entries()) {
  const socket = await wireSocket(address, Number(firstPort) + n);
  socket.on('message', (packet) => {
    const to = packet.toString('hex', VXLAN_HEADER_BYTES, VXLAN_HEADER_BYTES + 6);
    lines.get(to)?.add(packet);
    if (traces) trace(from, to, packet);
  });
}
process.stdout.write('ready\n');

// Whoever started it holds the other end of stdin: without that it is of no use.
process.stdin.resume().on('end', () => process.exit(0));
