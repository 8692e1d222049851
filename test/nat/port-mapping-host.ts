/**
 * A host behind a router: a UDP socket that answers, and the agent's port mapper for it. Says in lines of JSON what
 * happens; `renew` on stdin ends the mapper's present wait, the end of stdin ends all.
 *
 * node port-mapping-host.ts {address} {port}
 */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { setTimeout as timeout } from 'node:timers/promises';
import { createPortMapper } from '../../agent/port-mapping.ts';

const [address = '', port = ''] = process.argv.slice(2);
const local = { address, port: Number(port) };
const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`);

let passed = 0;
/** Long waits, until `renew`. */
const waits: { ms: number; end: () => void }[] = [];
const time = {
  now: () => Date.now() + passed,
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms < 10_000) return timeout(ms, undefined, { signal });
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      waits.push({ ms, end: resolve });
      say({ waits: ms, external: mapper.external(local) });
    });
  },
};

const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
socket.on('message', (packet, from) => socket.send(`${packet} of ${from.address}`, from.port, from.address));
await new Promise<void>((resolve) => socket.bind(local.port, address, resolve));
const mapper = createPortMapper({ log: (line) => say({ line }), time });
mapper.map(local);
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'renew') continue;
  const wait = waits.shift();
  passed += wait?.ms ?? 0;
  wait?.end();
}
await mapper.close();
say({ closed: true });
socket.close();
