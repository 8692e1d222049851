/** The code that a person carries from the agent's terminal to the approving page (RFC 8628, section 6.1). */

/** Base 20, as the RFC proposes: without vowels, so that no words appear, and without digits. */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
const LENGTH = 8;

/** A random one, as `WDJB-MJHT`: 34 bits, so guesses must be limited. */
export function newUserCode(): string {
  let code = '';
  while (code.length < LENGTH) {
    const [byte = 255] = crypto.getRandomValues(new Uint8Array(1));
    // 240 is a multiple of 20; with the rest some letters would be likelier.
    if (byte < 240) code += LETTERS[byte % LETTERS.length];
  }
  return dashed(code);
}

/** The code as people type it: lower case, without the dash, with spaces. Undefined for what cannot be one. */
export function parseUserCode(typed: unknown): string | undefined {
  if (typeof typed !== 'string' || typed.length > 4 * LENGTH) return undefined;
  const code = typed.toUpperCase().replace(/[\s–—-]/g, '');
  return code.length === LENGTH && [...code].every((letter) => LETTERS.includes(letter)) ? dashed(code) : undefined;
}

function dashed(code: string): string {
  return `${code.slice(0, LENGTH / 2)}-${code.slice(LENGTH / 2)}`;
}
