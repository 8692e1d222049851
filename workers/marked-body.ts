/**
 * Between Worker and object a body that breaks off looks like one that ends (workerd: the writer of a pipe is gone).
 * With Content-Length the agent notices. Without it, the body travels there in chunks with their length before them
 * and a last one of length 0, as in RFC 9112, section 7.1.
 */
import { DirectError } from '../shared/errors.ts';

const LENGTH_BYTES = 4;

function lengthOf(chunk: Uint8Array): Uint8Array {
  const header = new Uint8Array(LENGTH_BYTES);
  new DataView(header.buffer).setUint32(0, chunk.length);
  return header;
}

/** In the Worker. */
export function markEnd(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        let { done, value = new Uint8Array() } = await reader.read();
        // An empty chunk would be the end, and nothing at all would never be asked for more.
        while (!done && value.length === 0) ({ done, value = new Uint8Array() } = await reader.read());
        controller.enqueue(lengthOf(value));
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** In the object. @throws DirectError `E_CANCELLED` when the end is missing, after what came before it. */
export async function* checkEnd(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  let header: number[] = [];
  let left = 0;
  let ended = false;
  for await (const part of body) {
    for (let at = 0; at < part.length; ) {
      if (left > 0) {
        const piece = part.subarray(at, at + left);
        at += piece.length;
        left -= piece.length;
        yield piece;
        continue;
      }
      header.push(part[at++] ?? 0);
      if (header.length < LENGTH_BYTES) continue;
      left = header.reduce((value, byte) => value * 256 + byte, 0);
      header = [];
      ended = left === 0;
    }
  }
  if (!ended) throw new DirectError('E_CANCELLED', 'the body broke off');
}
