import { encodeBase64url } from './base64url.ts';

/** 18 random bytes: knowing the id of a session is what admits to it, so it must not be guessable. 18, to need no padding. */
export function newId(): string {
  return encodeBase64url(crypto.getRandomValues(new Uint8Array(18)));
}
