/** What STUN servers see of the agent's sockets (server-reflexive addresses, RFC 8445 section 5.1.1.2). */
import { randomBytes } from 'node:crypto';
import { type Endpoint, endpointText } from './datagram.ts';
import type { StunServer } from './ice-urls.ts';
import type { MuxSocket } from './mux-socket.ts';
import { aborted } from './pause.ts';
import type { ResolveName } from './server-names.ts';
import { ATTRIBUTE, decodeStun, encodeStun, METHOD, withFingerprint, xorAddress } from './stun.ts';

/** A server answers within some round trips or not at all. */
const TIMEOUT_MS = 2_000;
/** First repetition; then it doubles (RFC 8445, section 14.3, wants 500 ms; a NAT's own loss is what this mends). */
const FIRST_REPETITION_MS = 250;
/** NATs keep a UDP mapping for 30 s at least, mostly (RFC 4787 asks for 2 minutes). */
const KNOWN_MS = 20_000;

export class ReflexiveAddresses {
  readonly #resolve: ResolveName;
  readonly #now: () => number;
  readonly #known = new WeakMap<MuxSocket, Map<string, { endpoint: Endpoint; until: number }>>();

  constructor(resolve: ResolveName, now: () => number = () => performance.now()) {
    this.#resolve = resolve;
    this.#now = now;
  }

  /** What these servers answered lately. */
  known(socket: MuxSocket, servers: readonly StunServer[]): readonly Endpoint[] {
    const answers = this.#known.get(socket);
    return servers.flatMap((server) => {
      const answer = answers?.get(keyOf(server));
      return answer === undefined || answer.until < this.#now() ? [] : [answer.endpoint];
    });
  }

  /** Asks `server`. Undefined: it did not answer in time, or has no address of the socket's family. Never throws. */
  async ask(socket: MuxSocket, server: StunServer, signal: AbortSignal): Promise<Endpoint | undefined> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const addresses = await Promise.race([this.#resolve(server.host, socket.local.family), aborted(deadline)]);
    const [address] = addresses ?? [];
    if (address === undefined || deadline.aborted || socket.closed) return undefined;
    const endpoint = await exchange(socket, [address, server.port], deadline);
    if (endpoint !== undefined) {
      const answers = this.#known.get(socket) ?? new Map<string, { endpoint: Endpoint; until: number }>();
      this.#known.set(socket, answers);
      const now = this.#now();
      for (const [key, { until }] of answers) if (until < now) answers.delete(key);
      answers.set(keyOf(server), { endpoint, until: now + KNOWN_MS });
    }
    return endpoint;
  }
}

function keyOf({ host, port }: StunServer): string {
  return `${host} ${port}`;
}

function exchange(socket: MuxSocket, server: Endpoint, signal: AbortSignal): Promise<Endpoint | undefined> {
  const transactionId = randomBytes(12);
  const request = withFingerprint(
    encodeStun({ class: 'request', method: METHOD.binding, transactionId, attributes: [] }),
  );
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const finish = (endpoint: Endpoint | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      resolve(endpoint);
    };
    const stop = () => finish(undefined);
    signal.addEventListener('abort', stop, { once: true });
    let waitMs = FIRST_REPETITION_MS;
    const repeat = () => {
      timer = setTimeout(() => {
        socket.send(request, server);
        repeat();
      }, waitMs);
      waitMs *= 2;
    };
    socket.ask(request, server, (data, from) => {
      const message = decodeStun(data);
      // Somebody else's answer must not tell the agent's address.
      if (message?.class !== 'success' || endpointText(from) !== endpointText(server)) return;
      finish(xorAddress(message, ATTRIBUTE.xorMappedAddress));
    });
    repeat();
  });
}
