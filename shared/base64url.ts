/** base64url without padding (RFC 4648, section 5), for keys and signatures in JSON and in links. */

export function encodeBase64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (char) =>
    char === '+' ? '-' : char === '/' ? '_' : '',
  );
}

/**
 * The bytes, or undefined for anything that `encodeBase64url` does not write: with loose spare bits one key would have
 * several texts, and keys are compared as text.
 */
export function decodeBase64url(text: string): Uint8Array<ArrayBuffer> | undefined {
  // A length of 4n + 1 is the one that `atob` refuses.
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return undefined;
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  return encodeBase64url(bytes) === text ? bytes : undefined;
}
