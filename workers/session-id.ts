import { encodeBase64url } from '../shared/base64url.ts';

/** Names a session to those who know its id, and is of no use to others: a hash of 15 bytes in base64url. */
export async function sessionKey(id: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(id));
  return encodeBase64url(new Uint8Array(digest, 0, 15));
}
