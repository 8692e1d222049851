import { createServer } from 'node:net';

/** `wanted` if it is free at `host`, else any free port; 0 wants any. */
export async function freePort(wanted = 0, host = '127.0.0.1'): Promise<number> {
  const listen = (port: number) =>
    new Promise<number>((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(port, host, () => {
        const address = server.address();
        server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
      });
    });
  return listen(wanted).catch(() => listen(0));
}
