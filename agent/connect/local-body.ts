/** The body of a program's request. */
import type { IncomingMessage } from 'node:http';

/** A body of this size is read before the request leaves: it can be sent again then, and leaves with its head. */
const SMALL_BYTES = 1024 * 1024;

/** @throws the connection's error when the program goes away before the end of a small body. */
export async function bodyOf(
  request: IncomingMessage,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null> {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (coding === undefined && (length === undefined || Number(length) === 0)) return null;
  if (coding !== undefined || Number(length) > SMALL_BYTES) return streamOf(request);
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return new Uint8Array(Buffer.concat(pieces));
}

/** Reads the program's bytes as the host takes them. */
function streamOf(request: IncomingMessage): ReadableStream<Uint8Array> {
  // The response still has to leave when the host wants no more of the body.
  const pieces = request.iterator({ destroyOnReturn: false });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done === true) controller.close();
        else controller.enqueue(value as Uint8Array);
      },
      async cancel() {
        await pieces.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
