/** When a host is online and whether it takes another session. Pure; HostObject holds the facts. */
import { DirectError } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import {
  HOST_OFFLINE_AFTER_MS,
  MAX_SESSIONS_PER_HOST_PER_MINUTE,
  POLL_PRESENCE_MS,
  SIGNALING_SESSION_TTL_MS,
} from '../shared/limits.ts';
import { RetryLater } from './outcome.ts';

const MINUTE_MS = 60_000;

export interface Presence {
  online: boolean;
  /** When the agent's WebSocket was accepted, in milliseconds since 1970; absent for one that polls. */
  since?: number;
}

/** Whether a socket that last gave a sign of life at `heardAt` counts as connected. */
export function isFresh(heardAt: number, now: number): boolean {
  return now - heardAt <= HOST_OFFLINE_AFTER_MS;
}

/** Whether an agent whose last poll ended at `polledAt` is still there. */
export function isPolling(polledAt: number, now: number): boolean {
  return now - polledAt < POLL_PRESENCE_MS;
}

/** A session that began. Its id is a capability, so that only a hash of it is kept. */
export interface Admission {
  at: number;
  sessionKey: string;
  /** What who asked for it may do. */
  grant: Grant;
  /** `OfferSignal.from`, if the client's address is known. */
  from: string | null;
}

/** Of each limit of a host, a quarter is the owner's alone: nobody who was let in besides keeps the owner out. */
export const OTHERS_SHARE = 0.75;

export function isOwners(subject: string): boolean {
  return subject === 'owner' || subject.startsWith('session:');
}

/**
 * The latest admissions with one more: all of the last minute, and those that still admit a relay. A log, not a
 * counter per clock minute, because that one lets twice the limit through around the full minute.
 * @throws RetryLater `E_RATE_LIMITED` with the time until the oldest one is a minute old.
 */
export function admitOne(log: readonly Admission[], admission: Admission): Admission[] {
  const { at: now } = admission;
  const recent = log.filter(({ at }) => at > now - MINUTE_MS);
  const checkLimit = (counted: readonly Admission[], most: number): void => {
    if (counted.length < most) return;
    throw new RetryLater('E_RATE_LIMITED', (counted[0]?.at ?? now) + MINUTE_MS - now, 'sessions of this host');
  };
  checkLimit(recent, MAX_SESSIONS_PER_HOST_PER_MINUTE);
  if (!isOwners(admission.grant.subject)) {
    const others = recent.filter(({ grant }) => !isOwners(grant.subject));
    checkLimit(others, MAX_SESSIONS_PER_HOST_PER_MINUTE * OTHERS_SHARE);
  }
  return [...log.filter(({ at }) => at > now - Math.max(MINUTE_MS, SIGNALING_SESSION_TTL_MS)), admission];
}

/**
 * The admission of a session that may use the relay.
 * @throws DirectError `E_SESSION_UNKNOWN`, or `E_UNAUTHORIZED` for a session that may not.
 */
export function checkRelay(log: readonly Admission[], sessionKey: string, now: number): Admission {
  const admission = log.find((known) => known.sessionKey === sessionKey && known.at > now - SIGNALING_SESSION_TTL_MS);
  if (admission === undefined) throw new DirectError('E_SESSION_UNKNOWN');
  // On hosts that anybody may signal to: the relay costs the edge's owner money, and it reaches the model.
  if (admission.grant.subject === 'anonymous') throw new DirectError('E_UNAUTHORIZED', 'the relay needs a credential');
  return admission;
}

/** @throws DirectError `E_HOST_OFFLINE` for a session that would wait in vain. */
export function checkOnline(online: boolean, open: boolean): void {
  // Foreign agents on open hosts only poll now and then: their clients wait, as they did with their own server.
  if (!online && !open) throw new DirectError('E_HOST_OFFLINE');
}
