/** What PCP, NAT-PMP and UPnP-IGD have in common: a router grants a mapping for a time, and may take it back. */
import { setTimeout as timeout } from 'node:timers/promises';
import type { MappedAddress } from '../network-settings.ts';

/** The router that a local address's packets leave through. The rest is for routers in tests. */
export interface Gateway {
  /** With a zone if it is link-local. */
  readonly address: string;
  /** Of PCP and NAT-PMP; undefined: 5351 (RFC 6887, section 19.1). */
  readonly port?: number;
  /** Where UPnP devices are searched for; undefined: the gateway and the multicast group, both at 1900. */
  readonly ssdp?: readonly MappedAddress[];
}

/** A clock in ms since 1970, and its timers; they never keep the process alive. */
export interface Time {
  now(): number;
  /** @throws the signal's reason when it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemTime: Time = {
  // Not the monotonic clock: that one stands still while a laptop sleeps, and mappings end meanwhile.
  now: () => Date.now(),
  sleep: (ms, signal) => timeout(ms, undefined, { ref: false, signal }),
};

export interface Ask {
  readonly local: MappedAddress;
  readonly gateway: Gateway;
  /** What the router had agreed to before; it need not agree to it again. */
  readonly suggested: MappedAddress | undefined;
  /** PCP's mapping nonce (RFC 6887, section 11.1): 12 random bytes, the same for the life of a mapping. */
  readonly nonce: Uint8Array;
  readonly time: Time;
  readonly signal: AbortSignal;
}

export interface Lease {
  readonly protocol: 'PCP' | 'NAT-PMP' | 'UPnP-IGD';
  /** The gateway's address. */
  readonly gateway: string;
  readonly external: MappedAddress;
  /** From when it was asked for. Always more than zero. */
  readonly lifetimeMs: number;
  /** Seconds since the router's table of mappings was empty; UPnP does not tell. */
  readonly epoch: number | undefined;
  /** @throws NoAnswer, Refused or the signal's reason, as whoever granted it. */
  renew(signal: AbortSignal): Promise<Lease>;
  /** Gives it back. @throws likewise. */
  release(signal: AbortSignal): Promise<void>;
}

/** @throws NoAnswer, Refused or the signal's reason. */
export type Protocol = (ask: Ask) => Promise<Lease>;

/**
 * What is asked for. RFC 6887 lets a router shorten it to no less than 2 minutes. Half an hour bounds how long a
 * killed agent's mapping stays, and costs a few packets each quarter of an hour.
 */
export const LIFETIME_SECONDS = 1800;

/** Nobody there speaks the protocol, or not in time. */
export class NoAnswer extends Error {}

/** The router speaks the protocol and does not do it. */
export class Refused extends Error {
  /** Not before this should it be asked again. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs = 0) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** @throws Refused if the router grants a mapping of no use. */
export function grantedLifetimeMs(seconds: number): number {
  if (seconds === 0) throw new Refused('the router grants a mapping for no time');
  return Math.min(seconds, LIFETIME_SECONDS) * 1000;
}
