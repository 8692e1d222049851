/** A question in one UDP packet, asked until it is answered. */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { MappedAddress } from '../network-settings.ts';
import { NoAnswer, type Time } from './lease.ts';

/** As RFC 6886, section 3.1 begins; it goes on to 64 s, but a router on the same link has answered by then. */
const RETRANSMISSIONS_MS = [250, 500, 1000, 2000] as const;

export interface Exchange<Answer> {
  /** The address to ask from. */
  from: string;
  to: MappedAddress;
  request: Uint8Array;
  /** @returns undefined if the packet is no answer to the request. @throws Refused */
  parse(packet: Uint8Array): Answer | undefined;
  /** Sent once if no answer came: it may be lost, and what was asked for be done. */
  undo?: Uint8Array;
  time: Time;
  signal: AbortSignal;
}

/** @throws NoAnswer, what `parse` throws, or the signal's reason. */
export async function exchange<Answer>({
  from,
  to,
  request,
  parse,
  undo,
  time,
  signal,
}: Exchange<Answer>): Promise<Answer> {
  signal.throwIfAborted();
  const socket = createSocket(isIPv6(from) ? 'udp6' : 'udp4').unref();
  const done = new AbortController();
  let sent = false;
  let answered = false;
  const transmit = async () => {
    for (const wait of RETRANSMISSIONS_MS) {
      socket.send(request);
      sent = true;
      await time.sleep(wait, done.signal);
    }
    throw new NoAnswer('the router does not answer');
  };
  try {
    return await new Promise<Answer>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: done.signal });
      // Also when the router says that nobody listens at that port.
      socket.on('error', (error) => reject(new NoAnswer(error.message)));
      socket.on('message', (packet) => {
        try {
          const answer = parse(packet);
          if (answer === undefined) return;
          answered = true;
          resolve(answer);
        } catch (error) {
          answered = true;
          reject(error);
        }
      });
      socket.once('connect', () => transmit().catch(reject));
      // Connected, the kernel keeps what others send away from us.
      socket.bind({ address: from, port: 0, exclusive: true }, () => socket.connect(to.port, to.address));
    });
  } finally {
    done.abort();
    if (undo !== undefined && sent && !answered)
      await new Promise<void>((resolve) => socket.send(undo, () => resolve()));
    socket.close();
  }
}
