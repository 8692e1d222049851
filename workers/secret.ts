/** Secrets that the edge makes or compares. They are random, so a plain hash of one tells nothing of it. */
import { encodeBase64url } from '../shared/base64url.ts';

const encoder = new TextEncoder();

/** 32 random bytes in 43 characters of base64url, after `prefix`, which says what it is for. */
export function newSecret(prefix = ''): string {
  return prefix + encodeBase64url(crypto.getRandomValues(new Uint8Array(32)));
}

/** What is stored instead of a secret, and looked up: SHA-256 of its text (with the prefix) in base64url. */
export async function hashSecret(secret: string): Promise<string> {
  return encodeBase64url(new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(secret))));
}

/** Compares in constant time. Hashing first makes the lengths equal, which `timingSafeEqual` demands. */
export async function sameSecret(presented: string, secret: string): Promise<boolean> {
  const [left, right] = await Promise.all([
    crypto.subtle.digest('SHA-256', encoder.encode(presented)),
    crypto.subtle.digest('SHA-256', encoder.encode(secret)),
  ]);
  return crypto.subtle.timingSafeEqual(left, right);
}
