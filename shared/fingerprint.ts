/** A host key as people compare it: the terminal, the page and other devices show the same. */
import { hostKeyFromText } from './host-identity.ts';

/** 128 bits: nobody finds a second key with the same ones, and two lines of them can be read out on the phone. */
const SHOWN_BYTES = 16;
const GROUP_DIGITS = 4;

/**
 * The first half of SHA-256 of the key's 32 bytes, in groups of four hexadecimal digits: `3f2a 91bc …`.
 * @param hostKey base64url
 * @throws DirectError `E_HOST_KEY` when that is no key.
 */
export async function fingerprint(hostKey: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', hostKeyFromText(hostKey)));
  const digits = [...digest.subarray(0, SHOWN_BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return (digits.match(new RegExp(`.{${GROUP_DIGITS}}`, 'g')) ?? []).join(' ');
}
