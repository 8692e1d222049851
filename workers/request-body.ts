/** Request bodies, never longer than a bound: `Content-Length` may be missing or wrong. */
import { DirectError } from '../shared/errors.ts';

/** Reads the whole body. @throws DirectError `E_TOO_LARGE` as soon as it exceeds `maxBytes` */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream, so the rest is not even received.
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > maxBytes) throw new DirectError('E_TOO_LARGE');
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** Reads the whole body as text. @throws DirectError `E_TOO_LARGE` as `readBytes`; `E_BAD_REQUEST` */
export async function readText(request: Request, maxBytes: number): Promise<string> {
  const bytes = await readBytes(request, maxBytes);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new DirectError('E_BAD_REQUEST', 'the body is not UTF-8');
  }
}
