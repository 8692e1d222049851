/**
 * The bytes of a buffer or a view, as they are at this moment: whoever has it may change it afterwards. Also of another
 * window, as of a frame: `instanceof` knows only this one's. Undefined: it is neither.
 */
export function copiedBytes(data: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  if (Object.prototype.toString.call(data) !== '[object ArrayBuffer]') return undefined;
  return new Uint8Array((data as ArrayBuffer).slice(0));
}
