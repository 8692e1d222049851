/** Ids of sessions, which are what their clients prove themselves with. */
import { encodeBase64Url } from 'hono/utils/encode';

/** 18 random bytes: knowing the id is all that a client needs, so it must not be guessable. 18, to need no padding. */
export function newSessionId(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(18)).buffer);
}
