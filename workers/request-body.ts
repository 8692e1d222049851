/** Request bodies as text, never longer than a bound: `Content-Length` may be missing or wrong. */
import { DirectError } from '../shared/errors.ts';

/** Reads the whole body. @throws DirectError `E_TOO_LARGE` as soon as it exceeds `maxBytes`; `E_BAD_REQUEST` */
export async function readText(request: Request, maxBytes: number): Promise<string> {
  if (request.body === null) return '';
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
  let bytes = 0;
  let text = '';
  // Leaving the loop cancels the stream, so the rest is not even received.
  for await (const chunk of request.body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new DirectError('E_TOO_LARGE');
    text += decode(() => decoder.decode(chunk, { stream: true }));
  }
  return text + decode(() => decoder.decode());
}

function decode(step: () => string): string {
  try {
    return step();
  } catch {
    throw new DirectError('E_BAD_REQUEST', 'the body is not UTF-8');
  }
}
