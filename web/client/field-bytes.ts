/** Header fields carry bytes, one in each character (RFC 9110, section 5.5); platforms take and give them so. */
export function fieldBytes(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('');
}
