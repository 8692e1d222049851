/**
 * A relayed address at a TURN server (RFC 8656), to be used like a UDP socket. All data goes through channels: binding
 * one takes the same round trip as a permission, installs the permission too, and saves 32 bytes in each datagram.
 */
import { isIP } from 'node:net';
import { addressOf, type DatagramTransport, type Endpoint, endpointText } from './datagram.ts';
import { ATTRIBUTE, encodeXorAddress, METHOD, type StunMessage, uint32, xorAddress } from './stun.ts';
import type { TurnCarrier } from './turn-carrier.ts';
import { TurnClient, type TurnCredentials, TurnError } from './turn-client.ts';

/** Protocol number of UDP (RFC 8656, section 18.8). */
const UDP = 17;
/** What is asked for; servers may give less. */
const LIFETIME_S = 600;
/** The most that RFC 8656, section 7.2, recommends; timers of more than 24 days end at once. */
const MAX_LIFETIME_S = 3600;
/** RFC 8656: a permission ends after 5 minutes, a channel after 10. Binding the channel anew refreshes both. */
const CHANNEL_REFRESH_MS = 4 * 60_000;
/** RFC 8656, section 12: 0x4000 to 0x4FFF. */
const FIRST_CHANNEL = 0x4000;
/** An honest peer has under 10 addresses; a channel cannot be taken back, so there is an end to them. */
const MAX_CHANNELS = 128;
/** Datagrams that wait for their channel: connectivity checks, which are repeated anyway. */
const MAX_WAITING = 4;
/** Taking leave must not hold up an exit. */
const RELEASE_TIMEOUT_MS = 600;

export interface AllocationOptions {
  /** Of the relayed address. */
  family: 4 | 6;
  /** It works no more, and `close` was not called. */
  ended?: () => void;
  /** For tests with servers that forget sooner. */
  channelRefreshMs?: number;
}

interface Channel {
  readonly number: number;
  readonly peer: Endpoint;
  state: 'binding' | 'bound' | 'refused';
  waiting: Buffer[];
  boundAt: number;
  usedAt: number;
}

export class Allocation implements DatagramTransport {
  readonly type = 'udp';
  readonly address: DatagramTransport['address'];
  readonly addressFamily: 4 | 6;
  /** What the server sees of this end; undefined: it did not say. */
  readonly mapped: Endpoint | undefined;
  readonly #client: TurnClient;
  readonly #ended: () => void;
  readonly #channelRefreshMs: number;
  readonly #byPeer = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();
  #maintenance: NodeJS.Timeout;
  #refresh: NodeJS.Timeout | undefined;
  onData: DatagramTransport['onData'] = () => {};
  closed = false;
  /** Resolves when `close` has told the server, or it did not answer. */
  released: Promise<void> = Promise.resolve();

  /** Over `carrier`, which it owns from now on. */
  static async create(
    carrier: TurnCarrier,
    credentials: TurnCredentials,
    options: AllocationOptions,
  ): Promise<Allocation> {
    const client = new TurnClient(carrier, credentials);
    try {
      const response = await client.request(METHOD.allocate, () => [
        [ATTRIBUTE.requestedTransport, Buffer.from([UDP, 0, 0, 0])],
        // IPv4 is what servers give unasked, and not all know the attribute.
        ...(options.family === 4 ? [] : [[ATTRIBUTE.requestedAddressFamily, Buffer.from([2, 0, 0, 0])] as const]),
        [ATTRIBUTE.lifetime, uint32(LIFETIME_S)],
      ]);
      const relayed = xorAddress(response, ATTRIBUTE.xorRelayedAddress);
      if (relayed === undefined) throw new Error('the TURN server names no relayed address');
      return new Allocation(client, relayed, response, options);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  private constructor(client: TurnClient, relayed: Endpoint, response: StunMessage, options: AllocationOptions) {
    this.#client = client;
    this.#ended = options.ended ?? (() => {});
    this.#channelRefreshMs = options.channelRefreshMs ?? CHANNEL_REFRESH_MS;
    this.addressFamily = isIP(relayed[0]) === 6 ? 6 : 4;
    this.address = addressOf(relayed, this.addressFamily);
    this.mapped = xorAddress(response, ATTRIBUTE.xorMappedAddress);
    client.onData = (peer, data) => this.#deliver(peer, data);
    client.onChannelData = (number, data) => {
      const channel = this.#byNumber.get(number);
      if (channel !== undefined) this.#deliver(channel.peer, data);
    };
    client.onClosed = () => this.#end();
    this.#maintenance = setInterval(() => this.#maintain(), this.#channelRefreshMs / 12);
    this.#maintenance.unref();
    this.#refreshIn(lifetimeOf(response));
  }

  get host(): string {
    return this.address.address;
  }

  get port(): number {
    return this.address.port;
  }

  async send(data: Buffer, peer: Endpoint): Promise<void> {
    if (this.closed) return;
    const channel = this.#channel(peer);
    if (channel === undefined) return;
    channel.usedAt = performance.now();
    if (channel.state === 'bound') this.#client.sendChannelData(channel.number, data);
    else if (channel.state === 'binding' && channel.waiting.length < MAX_WAITING) channel.waiting.push(data);
  }

  /** Gives the address back, in the background. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.#stop();
    this.released = this.#client
      .request(METHOD.refresh, () => [[ATTRIBUTE.lifetime, uint32(0)]], RELEASE_TIMEOUT_MS)
      .then(
        () => {},
        () => {},
      )
      .then(() => this.#client.close());
  }

  #end(): void {
    if (this.closed) return;
    this.#stop();
    this.#client.close();
    this.#ended();
  }

  #stop(): void {
    this.closed = true;
    clearInterval(this.#maintenance);
    clearTimeout(this.#refresh);
    this.#byPeer.clear();
    this.#byNumber.clear();
  }

  #deliver(peer: Endpoint, data: Buffer): void {
    if (!this.closed) this.onData(data, peer);
  }

  #channel(peer: Endpoint): Channel | undefined {
    const key = endpointText(peer);
    const known = this.#byPeer.get(key);
    if (known !== undefined) return known;
    if (this.#byPeer.size >= MAX_CHANNELS || isIP(peer[0]) !== this.addressFamily) return undefined;
    const number = FIRST_CHANNEL + this.#byPeer.size;
    const channel: Channel = { number, peer, state: 'binding', waiting: [], boundAt: 0, usedAt: 0 };
    this.#byPeer.set(key, channel);
    // Data may come by the channel before the answer to its request does.
    this.#byNumber.set(number, channel);
    void this.#bind(channel);
    return channel;
  }

  async #bind(channel: Channel): Promise<void> {
    try {
      await this.#client.request(METHOD.channelBind, (transactionId) => [
        [ATTRIBUTE.channelNumber, uint32(channel.number * 0x1_0000)],
        [ATTRIBUTE.xorPeerAddress, encodeXorAddress(channel.peer, transactionId)],
      ]);
      channel.state = 'bound';
      channel.boundAt = performance.now();
    } catch {
      // A channel that was bound lasts longer than its permission; the next maintenance tries again.
      if (channel.state === 'binding') channel.state = 'refused';
    }
    const waiting = channel.waiting.splice(0);
    if (channel.state !== 'bound' || this.closed) return;
    for (const data of waiting) this.#client.sendChannelData(channel.number, data);
  }

  #maintain(): void {
    const now = performance.now();
    for (const channel of this.#byPeer.values()) {
      const used = now - channel.usedAt < this.#channelRefreshMs;
      const due = now - channel.boundAt > this.#channelRefreshMs;
      if (channel.state === 'bound' && used && due) void this.#bind(channel);
    }
  }

  #refreshIn(lifetimeS: number): void {
    // With time for some attempts, but a short lifetime must not become a flood.
    const delayMs = Math.max(1000, lifetimeS > 120 ? (lifetimeS - 60) * 1000 : lifetimeS * 500);
    const endsAt = performance.now() + lifetimeS * 1000;
    const attempt = async () => {
      if (this.closed) return;
      try {
        const response = await this.#client.request(METHOD.refresh, () => [[ATTRIBUTE.lifetime, uint32(LIFETIME_S)]]);
        if (!this.closed) this.#refreshIn(lifetimeOf(response));
      } catch (error) {
        // 437: the server knows nothing of it; 401, 403 and 441: the credentials have ended.
        const refused = error instanceof TurnError && error.code !== 0;
        if (performance.now() > endsAt || (refused && error.code === 437)) this.#end();
        else if (!this.closed) this.#again(attempt, Math.min(5000, delayMs));
      }
    };
    this.#again(attempt, delayMs);
  }

  #again(attempt: () => Promise<void>, delayMs: number): void {
    this.#refresh = setTimeout(attempt, delayMs);
    this.#refresh.unref();
  }
}

function lifetimeOf({ attributes }: StunMessage): number {
  const value = attributes.get(ATTRIBUTE.lifetime);
  return value?.length === 4 ? Math.min(value.readUInt32BE(), MAX_LIFETIME_S) : LIFETIME_S;
}
