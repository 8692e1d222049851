/** Login by a code that the owner approves elsewhere: the OAuth device authorization grant (RFC 8628). */

import { z } from 'zod';
import type { ServedUpstream } from '../shared/account-api.ts';
import { encodeBase64url } from '../shared/base64url.ts';
import { isId } from '../shared/signal.ts';
import { transcript } from '../shared/transcript.ts';
import { CommandError, EXIT, plain } from './command-error.ts';
import { approveLink } from './edge-address.ts';
import { type EdgeAnswer, type EdgeApi, EdgeError, understood } from './edge-api.ts';
import type { Credentials, HostIdentity } from './store.ts';

/** Added to the interval by each slow_down (RFC 8628, section 3.5). */
const SLOW_DOWN_MS = 5_000;
/** The interval where the edge names none (RFC 8628, section 3.2). */
const DEFAULT_INTERVAL_S = 5;
/** Whatever the edge says. */
const MIN_INTERVAL_MS = 1_000;
/** While the edge cannot be reached the pause doubles up to this. */
const MAX_BACKOFF_MS = 60_000;
const CLIENT_ID = 'direct-agent';

export interface DeviceFlowOptions {
  api: EdgeApi;
  /** Origin, without a slash at the end. */
  edge: string;
  identity: HostIdentity;
  hostName: string;
  serves: readonly ServedUpstream[];
  now(): number;
  /** Ends early when the signal aborts; never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Ends the wait. */
  signal: AbortSignal;
  /** There is a code; a person shall open the link. */
  show(code: { userCode: string; link: string; expiresInMs: number }): void;
  /** The edge cannot be reached for the moment (a sentence), or can be again (undefined). Told once each. */
  trouble(reason: string | undefined): void;
}

const seconds = z.number().positive().max(86_400);
const codeAnswer = z.object({
  // Sent back as it came; never shown.
  device_code: z.string().regex(/^[!-~]{1,256}$/),
  user_code: z.string().regex(/^[A-Z0-9]{2,8}(?:-[A-Z0-9]{2,8}){0,3}$/),
  verification_uri_complete: z.string().optional(),
  expires_in: seconds,
  interval: seconds.default(DEFAULT_INTERVAL_S),
});
const tokenAnswer = z.object({
  access_token: z.string().regex(/^[A-Za-z0-9_-]{20,256}$/),
  token_type: z.string().regex(/^bearer$/i),
  host_id: z.string().refine(isId),
  host_name: z.string().transform((name) => plain(name)),
});
const waiting = z.object({ error: z.string() });

/**
 * Asks the edge for a code, shows it, and waits until the owner has decided.
 * @throws CommandError when it did not come to a login
 */
export async function deviceFlow(options: DeviceFlowOptions): Promise<Credentials> {
  const { api, edge, identity, now, signal } = options;
  const started = now();
  const code = await requestCode(options);
  const link = approveLink(edge, code.user_code, identity.hostKey);
  options.show({ userCode: code.user_code, link, expiresInMs: code.expires_in * 1_000 });
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: code.device_code,
    client_id: CLIENT_ID,
    host_signature: await proof(identity, edge, code.device_code),
  });
  const expired = new CommandError(
    EXIT.tryAgain,
    `The code ${code.user_code} has expired and nobody approved it. Run the same command again for a new one.`,
  );
  const expiresAt = started + code.expires_in * 1_000;
  let interval = Math.max(MIN_INTERVAL_MS, code.interval * 1_000);
  let backoff = 0;
  while (true) {
    await options.sleep(Math.min(Math.max(interval, backoff), Math.max(0, expiresAt - now())), signal);
    if (!signal.aborted && now() >= expiresAt) throw expired;
    const answer = signal.aborted ? undefined : await poll(api, form, signal);
    if (answer === undefined) throw new CommandError(EXIT.interrupted, 'The login was given up; nothing has changed.');
    if (answer instanceof EdgeError) {
      if (backoff === 0) options.trouble(answer.message);
      // RFC 8628, section 3.5: exponential.
      backoff = Math.max(Math.min(MAX_BACKOFF_MS, Math.max(interval, backoff) * 2), answer.retryAfterMs ?? 0);
      continue;
    }
    if (backoff > 0) options.trouble(undefined);
    backoff = 0;
    const still = waiting.safeParse(answer.body);
    if (!still.success) return credentialsOf(answer, edge);
    if (still.data.error === 'slow_down') interval += SLOW_DOWN_MS;
    else if (still.data.error === 'expired_token') throw expired;
    else if (still.data.error !== 'authorization_pending') throw refusedFor(still.data.error, edge);
  }
}

/** An answer, an error that may pass, or nothing if the wait was ended. @throws EdgeError */
async function poll(api: EdgeApi, form: URLSearchParams, signal: AbortSignal) {
  try {
    return await api.call('POST', '/device/token', form);
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error instanceof EdgeError && error.transient) return error;
    throw error;
  }
}

async function requestCode(options: DeviceFlowOptions): Promise<z.infer<typeof codeAnswer>> {
  const { api, edge, identity, hostName, serves } = options;
  const answer = await api.call(
    'POST',
    '/device/code',
    new URLSearchParams({
      client_id: CLIENT_ID,
      host_key: identity.hostKey,
      host_name: hostName,
      serves: JSON.stringify(serves),
    }),
  );
  const refused = waiting.safeParse(answer.body);
  if (refused.success) throw refusedFor(refused.data.error, edge);
  const code = understood(codeAnswer, answer, edge);
  checkLink(code.verification_uri_complete, code.user_code, identity.hostKey);
  return code;
}

/**
 * The link that people open is our own. An edge whose link names another code or key is broken, or wants the owner to
 * approve somebody else.
 */
function checkLink(link: string | undefined, userCode: string, hostKey: string): void {
  if (link === undefined) return;
  const fragment = new URLSearchParams(URL.parse(link)?.hash.slice(1) ?? '');
  if (fragment.get('code') === userCode && fragment.get('key') === hostKey) return;
  throw new CommandError(
    EXIT.protocol,
    'The edge made a link for another code or another host than this one. Nothing was approved; do not trust this edge.',
  );
}

/**
 * Proves that this agent holds the key that it asks `edge` for a login for. With the edge in it: this one could have got
 * the code from another edge, and would get the credential there.
 */
async function proof({ keys, hostKey }: HostIdentity, edge: string, deviceCode: string): Promise<string> {
  const statement = transcript(
    'direct-agent login v1',
    Buffer.from(hostKey, 'base64url'),
    new TextEncoder().encode(edge),
    new TextEncoder().encode(deviceCode),
  );
  return encodeBase64url(new Uint8Array(await crypto.subtle.sign('Ed25519', keys.privateKey, Buffer.from(statement))));
}

function credentialsOf(answer: EdgeAnswer, edge: string): Credentials {
  const { access_token: token, host_id, host_name } = understood(tokenAnswer, answer, edge);
  return { edge, host_id, host_name, token };
}

function refusedFor(error: string, edge: string): CommandError {
  if (error === 'access_denied') {
    return new CommandError(EXIT.denied, 'The owner of the edge refused this login; nothing has changed.');
  }
  if (error === 'invalid_grant') {
    return new CommandError(EXIT.protocol, `The edge ${edge} no longer knows the code. Run the same command again.`);
  }
  return new CommandError(
    EXIT.protocol,
    `The edge ${edge} refused the login (${plain(error, 60)}). Run the same command again; if it stays, bring agent and edge to the same version.`,
  );
}
