/** Responses that Worker and objects share. The Worker adds the header fields that every response has. */
import { BATCH_TYPE } from '../shared/channel.ts';
import { DirectError, errorBody } from '../shared/errors.ts';
import { RETRY_DELAYS_MS } from '../shared/limits.ts';
import { RetryLater } from './outcome.ts';

/**
 * The JSON of `error` in the form that clients of `path` understand, with its status from the table; whatever is no
 * DirectError is `E_INTERNAL`.
 */
export function errorResponse(error: unknown, path = ''): Response {
  const known = error instanceof DirectError ? error : new DirectError('E_INTERNAL');
  const { http, retry } = known.entry;
  const headers = new Headers();
  if (http === 429 || (http === 503 && retry)) {
    const ms = known instanceof RetryLater ? known.retryAfterMs : (RETRY_DELAYS_MS[0] ?? 0);
    headers.set('Retry-After', String(Math.max(1, Math.ceil(ms / 1000))));
  }
  // OpenAI's clients repeat a request after any 5xx unless told otherwise; this one may have run.
  if (known.code === 'E_OUTCOME_UNKNOWN') headers.set('x-should-retry', 'false');
  return Response.json(errorBody(known, path), { status: http, headers });
}

/** A poll's answer: 204, or the messages (JSON each) as a list, or the only one of them by itself. */
export function pollResponse(texts: readonly string[], asList: boolean): Response {
  const [first] = texts;
  if (first === undefined) return new Response(null, { status: 204 });
  const body = asList ? `[${texts.join(',')}]` : first;
  return new Response(body, { headers: { 'Content-Type': 'application/json' } });
}

/** The answer of a poll that takes channels, with a batch of messages (shared/channel.ts). */
export function batchResponse(bytes: Uint8Array<ArrayBuffer>): Response {
  return new Response(bytes, { headers: { 'Content-Type': BATCH_TYPE } });
}
