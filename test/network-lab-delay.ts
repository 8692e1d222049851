/**
 * One direction of a lab's slow link (network-lab.ts), as a process of its own, so that a busy test adds no delay:
 * passes each UDP packet for `at`:`from` on to 127.0.0.1:`to` after `delayMs`, in order, or loses it.
 */
import { DelayLine, wireSocket, wireTo } from './delay-line.ts';

const [at = '', from, to, delayMs, lossPercent] = process.argv.slice(2);
const loss = Number(lossPercent) / 100;

const line = new DelayLine(Number(delayMs), await wireTo('127.0.0.1', Number(to)));
const socket = await wireSocket(at, Number(from));
socket.on('message', (packet) => {
  if (Math.random() >= loss) line.add(packet);
});
process.stdout.write('ready\n');

// The lab holds the other end of stdin: without it the link is of no use.
process.stdin.resume().on('end', () => process.exit(0));
