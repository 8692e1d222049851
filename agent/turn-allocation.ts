/**
 * A relayed address at a TURN server (RFC 8656), to be used like a UDP socket. All data goes through channels: binding
 * one takes the same round trip as a permission, installs the permission too, and saves 32 bytes in each datagram.
 */
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { addressOf, type DatagramTransport, type Endpoint, endpointText } from './datagram.ts';
import {
  ATTRIBUTE,
  decodeStun,
  encodeStun,
  encodeXorAddress,
  errorCode,
  hasIntegrity,
  longTermKey,
  looksLikeStun,
  METHOD,
  plainAddress,
  type StunMessage,
  transactionKey,
  uint32,
  withFingerprint,
  xorAddress,
} from './stun.ts';
import type { TurnCarrier } from './turn-carrier.ts';

/** Protocol number of UDP (RFC 8656, section 18.8). */
const UDP = 17;
/** What is asked for; servers may give less. */
const LIFETIME_S = 600;
/** RFC 8656: a permission ends after 5 minutes, a channel after 10. Binding the channel anew refreshes both. */
const CHANNEL_REFRESH_MS = 4 * 60_000;
/** RFC 8656, section 12: 0x4000 to 0x4FFF. */
const FIRST_CHANNEL = 0x4000;
/** An honest peer has under 10 addresses; a channel cannot be taken back, so there is an end to them. */
const MAX_CHANNELS = 128;
/** Datagrams that wait for their channel: connectivity checks, which are repeated anyway. */
const MAX_WAITING = 4;
/** Requests over UDP are repeated at 200, 600, 1400 and 3000 ms; then the server is given up. */
const FIRST_REPETITION_MS = 200;
const REQUEST_TIMEOUT_MS = 5_000;
/** Taking leave must not hold up an exit. */
const RELEASE_TIMEOUT_MS = 600;

export interface TurnCredentials {
  readonly username: string;
  readonly credential: string;
}

export interface AllocationOptions {
  /** Of the relayed address. */
  family: 4 | 6;
  /** It works no more, and `close` was not called. */
  ended?: () => void;
  /** For tests with servers that forget sooner. */
  channelRefreshMs?: number;
}

/** The server answered with an error, such as 401 for credentials that are wrong. The message holds no secrets. */
export class TurnError extends Error {
  readonly code: number;
  /** With code 300: where to ask instead. */
  readonly alternate: Endpoint | undefined;

  constructor(code: number, alternate?: Endpoint) {
    super(code === 0 ? 'the TURN server does not answer' : `the TURN server answers ${code}`);
    this.code = code;
    this.alternate = alternate;
  }
}

interface Channel {
  readonly number: number;
  readonly peer: Endpoint;
  state: 'binding' | 'bound' | 'refused';
  waiting: Buffer[];
  boundAt: number;
  usedAt: number;
}

type Attributes = readonly (readonly [type: number, value: Buffer])[];

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
  return value?.length === 4 ? value.readUInt32BE() : LIFETIME_S;
}

interface Transaction {
  /** Set once the server asked for credentials. */
  readonly key: Buffer | undefined;
  respond(message: StunMessage): void;
  giveUp(): void;
}

/** Requests and their answers, with long-term credentials (RFC 8489, section 9.2). */
class TurnClient {
  onData: (peer: Endpoint, data: Buffer) => void = () => {};
  onChannelData: (number: number, data: Buffer) => void = () => {};
  onClosed: () => void = () => {};
  readonly #carrier: TurnCarrier;
  readonly #credentials: TurnCredentials;
  readonly #transactions = new Map<string, Transaction>();
  #challenge: { realm: Buffer; nonce: Buffer; key: Buffer } | undefined;

  constructor(carrier: TurnCarrier, credentials: TurnCredentials) {
    this.#carrier = carrier;
    this.#credentials = credentials;
    carrier.message = (bytes) => this.#received(bytes);
    carrier.closed = () => {
      this.#giveUp();
      this.onClosed();
    };
  }

  close(): void {
    this.#giveUp();
    this.#carrier.close();
  }

  sendChannelData(number: number, data: Buffer): void {
    const header = Buffer.allocUnsafe(4);
    header.writeUInt16BE(number, 0);
    header.writeUInt16BE(data.length, 2);
    this.#carrier.send(Buffer.concat([header, data]));
  }

  /** @throws TurnError */
  async request(
    method: number,
    attributes: (transactionId: Buffer) => Attributes,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<StunMessage> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.#exchange(method, attributes, timeoutMs);
      if (response.class === 'success') return response;
      const code = errorCode(response);
      // Without credentials at first; the nonce ends now and then.
      const retry = (code === 401 && attempt === 0 && this.#challenge === undefined) || (code === 438 && attempt < 3);
      if (retry && this.#take(response)) continue;
      throw new TurnError(code, code === 300 ? plainAddress(response, ATTRIBUTE.alternateServer) : undefined);
    }
  }

  #take({ attributes }: StunMessage): boolean {
    const nonce = attributes.get(ATTRIBUTE.nonce);
    const realm = attributes.get(ATTRIBUTE.realm) ?? this.#challenge?.realm;
    if (nonce === undefined || realm === undefined) return false;
    const { username, credential } = this.#credentials;
    this.#challenge = { realm, nonce, key: longTermKey(username, realm.toString(), credential) };
    return true;
  }

  #exchange(
    method: number,
    attributes: (transactionId: Buffer) => Attributes,
    timeoutMs: number,
  ): Promise<StunMessage> {
    const transactionId = randomBytes(12);
    const challenge = this.#challenge;
    const signed: Attributes =
      challenge === undefined
        ? []
        : [
            [ATTRIBUTE.username, Buffer.from(this.#credentials.username)],
            [ATTRIBUTE.realm, challenge.realm],
            [ATTRIBUTE.nonce, challenge.nonce],
          ];
    const content = { class: 'request', method, transactionId } as const;
    const all = [...attributes(transactionId), ...signed];
    const bytes = withFingerprint(encodeStun({ ...content, attributes: all }, challenge?.key));
    return new Promise((resolve, reject) => {
      let repetition: NodeJS.Timeout | undefined;
      const id = transactionKey(bytes);
      const finish = (message: StunMessage | undefined) => {
        clearTimeout(deadline);
        clearTimeout(repetition);
        this.#transactions.delete(id);
        if (message === undefined) reject(new TurnError(0));
        else resolve(message);
      };
      const deadline = setTimeout(() => finish(undefined), timeoutMs);
      this.#transactions.set(id, { key: challenge?.key, respond: finish, giveUp: () => finish(undefined) });
      const repeat = (waitMs: number) => {
        repetition = setTimeout(() => {
          this.#carrier.send(bytes);
          repeat(waitMs * 2);
        }, waitMs);
      };
      if (!this.#carrier.reliable) repeat(FIRST_REPETITION_MS);
      this.#carrier.send(bytes);
    });
  }

  #received(bytes: Buffer): void {
    if ((bytes[0] ?? 0) >> 6 === 1) {
      if (bytes.length < 4) return;
      const end = 4 + bytes.readUInt16BE(2);
      if (end <= bytes.length) this.onChannelData(bytes.readUInt16BE(0), bytes.subarray(4, end));
      return;
    }
    if (!looksLikeStun(bytes)) return;
    const message = decodeStun(bytes);
    if (message === undefined) return;
    if (message.class === 'indication' && message.method === METHOD.data) {
      const peer = xorAddress(message, ATTRIBUTE.xorPeerAddress);
      const data = message.attributes.get(ATTRIBUTE.data);
      if (peer !== undefined && data !== undefined) this.onData(peer, data);
      return;
    }
    const transaction = this.#transactions.get(transactionKey(bytes));
    if (transaction === undefined || message.class === 'request') return;
    // Errors about the credentials themselves cannot be signed.
    const proven = transaction.key === undefined || hasIntegrity(message, transaction.key);
    if (proven || message.class === 'error') transaction.respond(message);
  }

  #giveUp(): void {
    for (const transaction of [...this.#transactions.values()]) transaction.giveUp();
  }
}
