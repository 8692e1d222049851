/** One UDP socket of the agent and the connections' shares of it; see udp-mux.ts. */
import type { RemoteInfo, Socket } from 'node:dgram';
import { addressOf, type DatagramTransport, type Endpoint, endpointText, enlargeReceiveBuffer } from './datagram.ts';
import type { LocalAddress } from './network-settings.ts';
import { ATTRIBUTE, decodeStun, hasIntegrity, looksLikeStun, METHOD, stunClass, transactionKey } from './stun.ts';

/** A STUN transaction is over after 39.5 s (RFC 8489, section 6.2.1). */
const TRANSACTION_MS = 40_000;
/** Checks of 10 connections with 64 candidates on 4 addresses; the oldest are forgotten beyond. */
const MAX_TRANSACTIONS = 4096;
/** Of one connection on one socket; an honest client has under 10, and the one heard least recently is forgotten. */
const MAX_LEARNED_ADDRESSES = 64;

export interface IceCredentials {
  readonly ufrag: string;
  readonly password: string;
}

interface MuxSocketEvents {
  now(): number;
  share(ufrag: string): MuxShare | undefined;
  dropped(): void;
  failed(error: Error): void;
  closed(): void;
}

/** Takes the answer to a STUN request. */
type Answered = (data: Buffer, from: Endpoint) => void;

/** One UDP socket. */
export class MuxSocket {
  readonly port: number;
  readonly #socket: Socket;
  readonly #events: MuxSocketEvents;
  readonly #transports = new Set<SharedTransport>();
  readonly #transactions = new Map<string, { answered: Answered; until: number }>();
  /** By remote address: who authenticated it last. */
  readonly #learned = new Map<string, SharedTransport>();
  #local: LocalAddress;
  #retired = false;
  #closed = false;

  constructor(socket: Socket, local: LocalAddress, port: number, events: MuxSocketEvents) {
    this.#socket = socket;
    this.#local = local;
    this.port = port;
    this.#events = events;
    enlargeReceiveBuffer(socket);
    socket.on('message', (data, from) => this.#received(data, from));
    socket.on('error', (error) => {
      events.failed(error);
      this.close();
    });
  }

  get local(): LocalAddress {
    return this.#local;
  }

  /** Its address is gone. */
  get retired(): boolean {
    return this.#retired;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Numbers that a hostile peer can drive up, for tests. */
  get sizes(): { transactions: number; learned: number; transports: number } {
    return { transactions: this.#transactions.size, learned: this.#learned.size, transports: this.#transports.size };
  }

  keep(local: LocalAddress): void {
    this.#local = local;
    this.#retired = false;
  }

  retire(): void {
    this.#retired = true;
    if (this.#transports.size === 0) this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const transport of [...this.#transports]) void transport.close();
    this.#transactions.clear();
    this.#socket.close();
    this.#events.closed();
  }

  /** Sends a request of the agent's own; its answer, whoever sends it, comes to `answered`. */
  ask(request: Buffer, to: Endpoint, answered: Answered): void {
    this.#await(request, answered);
    this.send(request, to);
  }

  /** Datagrams that cannot leave are lost: no route, a firewall's verdict, a full buffer. */
  send(data: Buffer, [address, port]: Endpoint): void {
    if (!this.#closed) this.#socket.send(data, port, address, () => {});
  }

  /** For MuxShare. */
  add(transport: SharedTransport): void {
    this.#transports.add(transport);
  }

  remove(transport: SharedTransport): void {
    if (!this.#transports.delete(transport)) return;
    for (const address of transport.addresses) {
      if (this.#learned.get(address) === transport) this.#learned.delete(address);
    }
    // They would keep the connection in memory until they end.
    for (const [key, { answered }] of this.#transactions) {
      if (answered === transport.receive) this.#transactions.delete(key);
    }
    if (this.#retired && this.#transports.size === 0) this.close();
  }

  sendFor(transport: SharedTransport, data: Buffer, to: Endpoint): void {
    if (looksLikeStun(data) && stunClass(data) === 'request') this.#await(data, transport.receive);
    this.send(data, to);
  }

  #await(request: Buffer, answered: Answered): void {
    const now = this.#events.now();
    for (const [key, { until }] of this.#transactions) {
      if (until > now && this.#transactions.size < MAX_TRANSACTIONS) break;
      this.#transactions.delete(key);
    }
    const key = transactionKey(request);
    // A repeated request keeps its place.
    if (!this.#transactions.has(key)) this.#transactions.set(key, { answered, until: now + TRANSACTION_MS });
  }

  #received(data: Buffer, { address: withZone, port }: RemoteInfo): void {
    const [address = ''] = withZone.split('%', 1);
    const from: Endpoint = [address, port];
    const answered = looksLikeStun(data) ? this.#whoseStun(data, from) : this.#learned.get(endpointText(from))?.receive;
    if (answered === undefined) this.#events.dropped();
    else answered(data, from);
  }

  #whoseStun(data: Buffer, from: Endpoint): Answered | undefined {
    const kind = stunClass(data);
    if (kind === 'success' || kind === 'error') {
      const transaction = this.#transactions.get(transactionKey(data));
      return transaction === undefined || transaction.until < this.#events.now() ? undefined : transaction.answered;
    }
    const message = decodeStun(data);
    // Indications keep NAT bindings alive and have no further meaning (RFC 8445, section 11).
    if (message?.class !== 'request' || message.method !== METHOD.binding) return undefined;
    const [ufrag = ''] = message.attributes.get(ATTRIBUTE.username)?.toString().split(':', 1) ?? [];
    const share = this.#events.share(ufrag);
    if (share === undefined || !hasIntegrity(message, share.credentials.password)) return undefined;
    const transport = share.at(this);
    if (transport === undefined) return undefined;
    this.#learn(endpointText(from), transport);
    return transport.receive;
  }

  #learn(address: string, transport: SharedTransport): void {
    const before = this.#learned.get(address);
    if (before !== transport) before?.addresses.delete(address);
    // Added anew, it comes last.
    transport.addresses.delete(address);
    transport.addresses.add(address);
    this.#learned.set(address, transport);
    const [oldest] = transport.addresses;
    if (transport.addresses.size <= MAX_LEARNED_ADDRESSES || oldest === undefined) return;
    transport.addresses.delete(oldest);
    this.#learned.delete(oldest);
  }
}

/** One connection's part in the sockets. */
export class MuxShare {
  readonly credentials: IceCredentials;
  readonly #left: () => void;
  readonly #transports = new Map<MuxSocket, SharedTransport>();

  constructor(credentials: IceCredentials, left: () => void) {
    this.credentials = credentials;
    this.#left = left;
  }

  /** The connection uses this socket from now on. */
  use(socket: MuxSocket): DatagramTransport {
    const transport = new SharedTransport(socket, () => this.#transports.delete(socket));
    this.#transports.set(socket, transport);
    socket.add(transport);
    return transport;
  }

  at(socket: MuxSocket): SharedTransport | undefined {
    return this.#transports.get(socket);
  }

  close(): void {
    for (const transport of [...this.#transports.values()]) void transport.close();
    this.#left();
  }
}

class SharedTransport implements DatagramTransport {
  readonly type = 'udp';
  readonly address: DatagramTransport['address'];
  readonly addressFamily: 4 | 6;
  /** Remote addresses that it has authenticated, the latest last. */
  readonly addresses = new Set<string>();
  readonly #socket: MuxSocket;
  readonly #left: () => void;
  onData: DatagramTransport['onData'] = () => {};
  closed = false;

  constructor(socket: MuxSocket, left: () => void) {
    this.#socket = socket;
    this.#left = left;
    this.addressFamily = socket.local.family;
    this.address = addressOf([socket.local.address, socket.port], socket.local.family);
  }

  get host(): string {
    return this.address.address;
  }

  get port(): number {
    return this.address.port;
  }

  readonly receive: Answered = (data, from) => {
    if (!this.closed) this.onData(data, from);
  };

  async send(data: Buffer, to: Endpoint): Promise<void> {
    if (!this.closed) this.#socket.sendFor(this, data, to);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#left();
    this.#socket.remove(this);
  }
}
