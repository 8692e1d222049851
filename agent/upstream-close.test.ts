import { type AddressInfo, createServer, type Server } from 'node:net';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';

/**
 * Sends a whole response and then closes the connection that it said it would keep, as servers do after some seconds.
 * The path asks for the size and the kind: /196608/length, /196608/chunked, /196608/cut.
 */
let server: Server;
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
beforeAll(async () => {
  server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (asked) => {
      const [, size = '0', kind] = /^GET \/(\d+)\/(\w+)/.exec(asked.toString()) ?? [];
      const bytes = Buffer.alloc(Number(size), 'x');
      const length = kind === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${size}`;
      socket.write(`HTTP/1.1 200 OK\r\n${length}\r\n\r\n`);
      if (kind === 'chunked') {
        socket.write(`${bytes.length.toString(16)}\r\n`);
        socket.write(bytes);
        socket.end('\r\n0\r\n\r\n');
      } else {
        socket.end(kind === 'cut' ? bytes.subarray(1) : bytes);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.close();
  await dispatcher.close();
});

/** Reads slowly, as for a client whose path is slow or away. */
async function readSlowly(size: number, kind: string): Promise<number> {
  const { port } = server.address() as AddressInfo;
  const { body } = await request(`http://127.0.0.1:${port}/${size}/${kind}`, { dispatcher });
  // The end of the connection arrives before the first byte is read.
  await new Promise((resolve) => setTimeout(resolve, 100));
  let read = 0;
  for await (const part of body) {
    read += (part as Buffer).length;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return read;
}

const SIZES = [1, 65_536, 65_537, 100_000, 131_072, 196_608, 262_144];

test.each(SIZES)('a response of %i bytes is whole although its server has closed', async (size) => {
  expect(await readSlowly(size, 'length')).toBe(size);
  expect(await readSlowly(size, 'chunked')).toBe(size);
});

test.each(SIZES)('a response of %i bytes without its last one is not', async (size) => {
  await expect(readSlowly(size, 'cut')).rejects.toThrow();
});
