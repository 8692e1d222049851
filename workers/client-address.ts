/** Tells an agent which clients have the same address, and not which one: it limits guesses by that. */
import { encodeBase64url } from '../shared/base64url.ts';
import { clientKey } from './coarse-limit.ts';

const encoder = new TextEncoder();
/** 96 bits in 16 characters: no two clients meet by chance. */
const LENGTH = 12;

/**
 * `OfferSignal.from` of a client, null when its address is not known. Keyed, because there are only 2^32 IPv4 addresses
 * to try; the key follows from the owner's token, so that it need not be asked for elsewhere.
 */
export async function clientName(address: string | undefined, ownerToken: string): Promise<string | null> {
  if (address === undefined) return null;
  const secret = await crypto.subtle.importKey('raw', encoder.encode(ownerToken), 'HKDF', false, ['deriveKey']);
  const derivation = {
    name: 'HKDF',
    hash: 'SHA-256',
    salt: new Uint8Array(),
    info: encoder.encode('direct-agent client address v1'),
  };
  const hmac = { name: 'HMAC', hash: 'SHA-256', length: 256 };
  const key = await crypto.subtle.deriveKey(derivation, secret, hmac, false, ['sign']);
  const code = await crypto.subtle.sign('HMAC', key, encoder.encode(clientKey(address)));
  return encodeBase64url(new Uint8Array(code, 0, LENGTH));
}
