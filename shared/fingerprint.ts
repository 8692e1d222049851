/** A host key as people compare it. */
import { decodeBase64url } from './base64url.ts';

/** The first 16 bytes of the key's SHA-256, as 8 groups of 4 hex digits. `hostKey` is base64url. */
export async function fingerprint(hostKey: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', decodeBase64url(hostKey) ?? new Uint8Array()));
  const hex = Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/.{4}(?!$)/g, '$& ');
}
