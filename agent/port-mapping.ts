/**
 * Keeps ports of the router open for the agent's UDP sockets, by PCP, NAT-PMP or UPnP-IGD, whichever the router speaks.
 *
 * All three are written here: none of the libraries could be used. The best kept, `@achingbrain/nat-port-mapper` 4.0.5,
 * says that it withdraws a mapping and does not (miniupnpd keeps it, by UPnP and by NAT-PMP), asks NAT-PMP for 41 days,
 * and ends the process when anyone on the network sends its port one byte. No library speaks PCP.
 */
import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { endpointText } from './datagram.ts';
import type { MappedAddress, PortMapper } from './network-settings.ts';
import { Epochs } from './port-mapping/epoch.ts';
import { findGateway } from './port-mapping/gateways.ts';
import { isGlobal } from './port-mapping/ip-address.ts';
import {
  type Gateway,
  type Lease,
  NoAnswer,
  type Protocol,
  Refused,
  systemTime,
  type Time,
} from './port-mapping/lease.ts';
import { askNatPmp } from './port-mapping/nat-pmp.ts';
import { askPcp } from './port-mapping/pcp.ts';
import { askUpnp } from './port-mapping/upnp.ts';

export interface PortMapperOptions {
  /** Gets a line when the router begins to pass packets on, when it ends, and why it would not. */
  log(line: string): void;
  /** The router of a local address; by default, the system's. */
  gateway?(address: string): Promise<Gateway | undefined>;
  time?: Time;
}

/** After a failure, and twice as long after each further one. */
const FIRST_PAUSE_MS = 60_000;
const LAST_PAUSE_MS = 3_600_000;
/** RFC 6887, section 15, has no lifetimes under 2 minutes; a router that has them must not keep us busy. */
const MIN_RENEWAL_MS = 60_000;
/** From the news that the router restarted. Two mappings must not wake each other all the time if it only says so. */
const RESTARTED_MS = 10_000;
const CLOSE_MS = 1000;

/** Returns at once: routers are looked for when there is something to map. */
export function createPortMapper({ log, gateway = systemGateway, time = systemTime }: PortMapperOptions): PortMapper {
  const mappings = new Map<string, Mapping>();
  /** Being given back; the same address must not be asked for meanwhile. */
  const ending = new Map<string, Promise<void>>();
  const epochs = new Epochs();
  let isClosed = false;

  const unmap = (key: string, mapping: Mapping) => {
    mappings.delete(key);
    const end = mapping.stop().finally(() => {
      if (ending.get(key) === end) ending.delete(key);
    });
    ending.set(key, end);
  };
  return {
    map(local) {
      const key = endpoint(local);
      if (isClosed || mappings.has(key)) return;
      const heard = (lease: Lease) => {
        if (lease.epoch === undefined) return;
        if (!epochs.hear(`${lease.gateway} ${lease.protocol}`, { epoch: lease.epoch, at: time.now() })) return;
        for (const [other, mapping] of mappings) if (other !== key) mapping.routerRestarted(lease.gateway);
      };
      mappings.set(key, new Mapping({ local, gateway, time, log, heard, after: ending.get(key) }));
    },
    external: (local) => mappings.get(endpoint(local))?.external,
    unmap(local) {
      const mapping = mappings.get(endpoint(local));
      if (mapping !== undefined) unmap(endpoint(local), mapping);
    },
    async close() {
      isClosed = true;
      for (const [key, mapping] of mappings) unmap(key, mapping);
      await Promise.all(ending.values());
    },
  };
}

interface MappingOptions {
  local: MappedAddress;
  gateway(address: string): Promise<Gateway | undefined>;
  time: Time;
  log(line: string): void;
  /** Hears of each answer. */
  heard(lease: Lease): void;
  /** Wait for this first. */
  after: Promise<void> | undefined;
}

/** One local address, from `map` to `unmap`. */
class Mapping {
  readonly #options: MappingOptions;
  readonly #nonce = randomBytes(12);
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #lease: Lease | undefined;
  /** When the router forgets it, by our clock. */
  #until = 0;
  #hasComplained = false;
  readonly #kept: Promise<void>;

  constructor(options: MappingOptions) {
    this.#options = options;
    this.#kept = this.#keep().catch((error: unknown) => {
      // Only `stop` ends it; anything else is a mistake of ours, which must not end the agent.
      if (!this.#stop.signal.aborted) options.log(`port mapping: ended: ${error}`);
    });
  }

  get external(): MappedAddress | undefined {
    return this.#options.time.now() < this.#until ? this.#lease?.external : undefined;
  }

  routerRestarted(gateway: string): void {
    if (this.#lease?.gateway === gateway) this.#wake.abort();
  }

  /** Takes it back. Never throws, and takes CLOSE_MS at most. */
  async stop(): Promise<void> {
    const deadline = new AbortController();
    // Unlike all other timers this one keeps the process alive: what runs meanwhile would not.
    const timer = setTimeout(() => deadline.abort(), CLOSE_MS);
    this.#stop.abort();
    const release = async () => {
      await this.#kept;
      await this.#lease?.release(deadline.signal);
    };
    const late = new Promise<void>((resolve) => deadline.signal.addEventListener('abort', () => resolve()));
    // A router that is gone or does not want to: it forgets the mapping by itself.
    await Promise.race([release().catch(() => {}), late]);
    clearTimeout(timer);
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stop;
    const { time, heard, after } = this.#options;
    await after;
    for (let failures = 0; !signal.aborted; ) {
      const askedAt = time.now();
      let wait: number;
      try {
        const lease = await this.#ask();
        this.#grant(lease, askedAt);
        heard(lease);
        failures = 0;
        wait = Math.max(lease.lifetimeMs / 2, MIN_RENEWAL_MS);
      } catch (error) {
        if (signal.aborted) return;
        wait = Math.min(FIRST_PAUSE_MS * 2 ** failures++, LAST_PAUSE_MS);
        wait = this.#fail(error, wait);
      }
      await this.#sleep(wait);
    }
  }

  /** Whichever protocol the router speaks, the one that it spoke before first. */
  async #ask(): Promise<Lease> {
    const { local, time } = this.#options;
    const { signal } = this.#stop;
    const gateway = await this.#options.gateway(local.address);
    if (gateway === undefined) throw new NoRouter('this network has no router');
    const before = this.#lease?.gateway === gateway.address ? this.#lease : undefined;
    let problem: unknown = new NoAnswer('the router speaks none of PCP, NAT-PMP and UPnP-IGD');
    // A public address has no NAT before it, at most a firewall; of the three only PCP opens those.
    const protocols: Protocol[] =
      isGlobal(local.address) || isIPv6(local.address) ? [askPcp] : [askPcp, askNatPmp, askUpnp];
    const suggested = before?.external;
    const ask = { local, gateway, suggested, nonce: this.#nonce, time, signal };
    const attempts = protocols.map((protocol) => () => protocol(ask));
    if (before !== undefined) attempts.unshift(() => before.renew(signal));
    for (const attempt of attempts) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        // A refusal tells more than that nobody answers to something else.
        if (!(problem instanceof Refused)) problem = error;
      }
    }
    throw problem;
  }

  #grant(lease: Lease, askedAt: number): void {
    const { local, log } = this.#options;
    const before = this.external;
    this.#lease = lease;
    this.#until = askedAt + lease.lifetimeMs;
    this.#hasComplained = false;
    if (before !== undefined && endpoint(before) === endpoint(lease.external)) return;
    const note = isGlobal(lease.external.address)
      ? ''
      : '; that address is not public: the router is behind a NAT itself';
    log(`port mapping: the router passes ${endpoint(lease.external)} to ${endpoint(local)} (${lease.protocol})${note}`);
  }

  /** @returns how long to wait before the next attempt. */
  #fail(error: unknown, pauseMs: number): number {
    const { local, log, time } = this.#options;
    const refused = error instanceof Refused ? error : undefined;
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#lease !== undefined) {
      const leftMs = this.#until - time.now();
      // It stays what the router granted until then, even if the router is silent now.
      if (refused === undefined && leftMs > 0) return Math.min(pauseMs, leftMs);
      log(`port mapping: the router does not pass packets to ${endpoint(local)} any more: ${reason}`);
      this.#lease = undefined;
      this.#hasComplained = true;
    } else if (refused !== undefined && !this.#hasComplained && !(error instanceof NoRouter)) {
      log(`port mapping: the router passes nothing to ${endpoint(local)}: ${reason}`);
      this.#hasComplained = true;
    }
    return Math.max(pauseMs, refused?.retryAfterMs ?? 0);
  }

  /** @throws when it is stopped. */
  async #sleep(ms: number): Promise<void> {
    const { time } = this.#options;
    const { signal } = this.#stop;
    this.#wake = new AbortController();
    try {
      await time.sleep(ms, AbortSignal.any([signal, this.#wake.signal]));
    } catch {
      signal.throwIfAborted();
      await time.sleep(RESTARTED_MS, signal);
    }
  }
}

/** Nothing to complain about: a computer may well have no router. */
class NoRouter extends Refused {}

async function systemGateway(address: string): Promise<Gateway | undefined> {
  const found = await findGateway(address);
  return found === undefined ? undefined : { address: found };
}

function endpoint({ address, port }: MappedAddress): string {
  return endpointText([address, port]);
}
