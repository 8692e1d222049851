/**
 * What keys sign, or are bound to, as bytes. The purpose comes first, so that it counts for nothing else, and each
 * part stands after its length in a byte, so that no other parts give the same bytes.
 */
export function transcript(purpose: string, ...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from([new TextEncoder().encode(purpose), ...parts].flatMap((part) => [part.length, ...part]));
}
