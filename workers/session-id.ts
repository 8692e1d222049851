/** Ids of sessions, which are what their clients prove themselves with. */
import { encodeBase64url } from '../shared/base64url.ts';

/** 18 random bytes: knowing the id is all that a client needs, so it must not be guessable. 18, to need no padding. */
export function newSessionId(): string {
  return encodeBase64url(crypto.getRandomValues(new Uint8Array(18)));
}

/** Names a session to those who know its id, and is of no use to others: a hash of 15 bytes in base64url. */
export async function sessionKey(id: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(id));
  return encodeBase64url(new Uint8Array(digest, 0, 15));
}
