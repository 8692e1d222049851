/** When a host is online and whether it takes another session. Pure; HostObject holds the facts. */
import { DirectError } from '../shared/errors.ts';
import { HOST_OFFLINE_AFTER_MS, MAX_SESSIONS_PER_HOST_PER_MINUTE } from '../shared/limits.ts';
import { RetryLater } from './outcome.ts';

/** term-llm's agent pauses 2 s between polls; this forgives it a slow network and two failures of 10 s. */
export const POLL_PRESENCE_MS = 30_000;
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

/**
 * The admissions of the last minute with one more. A log, not a counter per clock minute, because that one lets
 * twice the limit through around the full minute.
 * @throws RetryLater `E_RATE_LIMITED` with the time until the oldest one leaves the log.
 */
export function admitOne(log: readonly number[], now: number): number[] {
  const recent = log.filter((at) => at > now - MINUTE_MS);
  if (recent.length < MAX_SESSIONS_PER_HOST_PER_MINUTE) return [...recent, now];
  throw new RetryLater('E_RATE_LIMITED', (recent[0] ?? now) + MINUTE_MS - now, 'sessions of this host');
}

/** @throws DirectError `E_HOST_OFFLINE` for a session that would wait in vain. */
export function checkOnline(online: boolean, open: boolean): void {
  // Foreign agents on open hosts only poll now and then: their clients wait, as they did with their own server.
  if (!online && !open) throw new DirectError('E_HOST_OFFLINE');
}
