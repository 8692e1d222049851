/**
 * The agent's UDP sockets, one for each local address, shared by all connections: so one port serves them all, and a
 * router has to map it once. Incoming datagrams are told apart by the ICE user name of STUN requests, the transaction
 * of STUN responses, and for the rest by addresses that authenticated requests came from.
 */
import type { Socket } from 'node:dgram';
import { createUdpSocket, endpointText } from './datagram.ts';
import { type IceCredentials, MuxShare, MuxSocket } from './mux-socket.ts';
import type { LocalAddress, MappedAddress, PortRange } from './network-settings.ts';

export interface UdpMuxOptions {
  ports: PortRange | undefined;
  log(line: string): void;
  /** A socket is there, or is gone. */
  bound?(local: MappedAddress): void;
  unbound?(local: MappedAddress): void;
  /** Milliseconds, monotonic. */
  now?: () => number;
}

/** No port of the configured range can be had on one address. */
export class NoPortError extends Error {
  readonly ports: PortRange;
  readonly address: string;
  /** The system does not allow it; else all of them are in use. */
  readonly denied: boolean;

  constructor(ports: PortRange, address: string, denied: boolean) {
    const which = ports.min === ports.max ? `port ${ports.min} is` : `all ports from ${ports.min} to ${ports.max} are`;
    super(`${which} ${denied ? 'not allowed' : 'in use'} at ${address}`);
    this.ports = ports;
    this.address = address;
    this.denied = denied;
  }
}

export class UdpMux {
  readonly #options: UdpMuxOptions;
  readonly #sockets = new Map<string, MuxSocket>();
  readonly #shares = new Map<string, MuxShare>();
  /** Why an address got no port at the last attempt. */
  readonly #without = new Map<string, 'in use' | 'denied'>();
  #opening: Promise<void> = Promise.resolve();
  #closed = false;
  #dropped = 0;

  constructor(options: UdpMuxOptions) {
    this.#options = options;
  }

  /** Sockets at addresses that were still there when `open` was called last. */
  get sockets(): readonly MuxSocket[] {
    return [...this.#sockets.values()].filter((socket) => !socket.retired);
  }

  /** Datagrams that belonged to nobody. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Binds sockets where there are none yet; those at other addresses close when their last connection ends.
   * @throws NoPortError; the other addresses have their sockets nevertheless.
   */
  open(addresses: readonly LocalAddress[]): Promise<void> {
    const opening = this.#opening.then(() => this.#open(addresses));
    this.#opening = opening.catch(() => {});
    return opening;
  }

  /** A connection's share: what is meant for its ICE credentials. @throws Error when `ufrag` is taken. */
  join(credentials: IceCredentials): MuxShare {
    if (this.#shares.has(credentials.ufrag)) throw new Error('the ICE user name is in use');
    const share = new MuxShare(credentials, () => this.#shares.delete(credentials.ufrag));
    this.#shares.set(credentials.ufrag, share);
    return share;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening;
    for (const share of [...this.#shares.values()]) share.close();
    for (const socket of [...this.#sockets.values()]) socket.close();
  }

  async #open(addresses: readonly LocalAddress[]): Promise<void> {
    if (this.#closed) return;
    for (const socket of [...this.#sockets.values()]) {
      const local = addresses.find(({ address }) => address === socket.local.address);
      if (local === undefined) socket.retire();
      else socket.keep(local);
    }
    const missing = addresses.filter(({ address }) => !this.#sockets.has(address));
    if (missing.length === 0) return;
    const sockets = await this.#bindAlike(missing);
    const failed = missing.filter((_, i) => sockets[i] === undefined);
    sockets.push(...(await Promise.all(failed.map((local) => this.#bindAnywhere(local)))));
    for (const socket of sockets) if (socket !== undefined) this.#add(socket);
    const { ports } = this.#options;
    const without = missing.find(({ address }) => !this.#sockets.has(address) && this.#without.has(address))?.address;
    if (ports !== undefined && without !== undefined) {
      throw new NoPortError(ports, without, this.#without.get(without) === 'denied');
    }
  }

  /** Tries for one port number at all addresses, which is easier to allow in a firewall. */
  async #bindAlike(locals: readonly LocalAddress[]): Promise<(BoundSocket | undefined)[]> {
    const [known] = this.#sockets.values();
    for (const port of [...(known === undefined ? [] : [known.port]), ...this.#ports()]) {
      const [first, ...others] = locals;
      if (first === undefined) break;
      const bound = await this.#bind(first, port);
      if (bound === undefined) continue;
      const rest = await Promise.all(others.map((local) => this.#bind(local, bound.port)));
      const all = [bound, ...rest];
      if (!all.includes(undefined) || port === 0) return all;
      for (const socket of all) socket?.socket.close();
    }
    return locals.map(() => undefined);
  }

  async #bindAnywhere(local: LocalAddress): Promise<BoundSocket | undefined> {
    for (const port of this.#ports()) {
      const bound = await this.#bind(local, port);
      if (bound !== undefined) return bound;
    }
    return undefined;
  }

  *#ports(): Generator<number> {
    const { ports } = this.#options;
    if (ports === undefined) yield 0;
    else for (let port = ports.min; port <= ports.max; port++) yield port;
  }

  async #bind(local: LocalAddress, port: number): Promise<BoundSocket | undefined> {
    const { address, family } = local;
    const socket = createUdpSocket(family, { ipv6Only: family === 6 });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind({ address, port }, resolve);
      });
    } catch (error) {
      socket.close();
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      if (code === 'EADDRINUSE') this.#without.set(address, 'in use');
      // Ports below 1024, and policies such as SELinux's.
      else if (code === 'EACCES' || code === 'EPERM') this.#without.set(address, 'denied');
      else this.#options.log(`no UDP socket at ${endpointText([address, port])}: ${code}`);
      return undefined;
    }
    socket.removeAllListeners('error');
    this.#without.delete(address);
    return { socket, local, port: socket.address().port };
  }

  #add({ socket, local, port }: BoundSocket): void {
    const { bound, unbound, log, now = () => performance.now() } = this.#options;
    const mapped = { address: local.address, port };
    const added = new MuxSocket(socket, local, port, {
      now,
      share: (ufrag) => this.#shares.get(ufrag),
      dropped: () => {
        this.#dropped++;
      },
      failed: (error) => log(`UDP socket at ${endpointText([local.address, port])} failed: ${error.message}`),
      closed: () => {
        if (this.#sockets.get(local.address) === added) this.#sockets.delete(local.address);
        unbound?.(mapped);
      },
    });
    this.#sockets.set(local.address, added);
    bound?.(mapped);
  }
}

interface BoundSocket {
  readonly socket: Socket;
  readonly local: LocalAddress;
  readonly port: number;
}
