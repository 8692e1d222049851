/** A local port whose host is a test. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { afterEach } from 'vitest';
import { DirectError } from '../../shared/errors.ts';
import type { Destination, LocalRequest } from './host-client.ts';
import { LocalServer, type LocalServerOptions } from './local-server.ts';

export const PATIENCE = { timeout: 20_000 };

const servers: LocalServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

export type Answer = (request: LocalRequest) => Response | Promise<Response>;

export async function open(options: Partial<LocalServerOptions>): Promise<LocalServer> {
  const server = await LocalServer.listen({
    address: '127.0.0.1',
    port: 0,
    tries: 1,
    rules: { hosts: [], remote: false, origins: [] },
    destination: { request: async () => new Response('ok'), socket: () => Promise.reject(new Error('none')) },
    ...options,
  });
  servers.push(server);
  return server;
}

/** Its base URL. */
export async function listen(answer: Answer, socket?: Destination['socket'], origins: string[] = []): Promise<string> {
  const { port } = await open({
    rules: { hosts: [], remote: false, origins },
    destination: {
      request: async (request) => answer(request),
      socket: socket ?? (() => Promise.reject(new DirectError('E_HOST_OFFLINE'))),
    },
  });
  return `http://127.0.0.1:${port}`;
}

/** As a program does that is no `fetch`. */
export async function ask(
  url: string,
  options: RequestOptions = {},
  body?: string,
): Promise<IncomingMessage & { text: string }> {
  const request = httpRequest(url, options);
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const part of response) text += String(part);
  return Object.assign(response, { text });
}

/** Resolves with the number once it stays the same: nothing more comes. */
export async function standstill(count: () => number): Promise<number> {
  for (let last = -1; last !== count() || last <= 0; ) {
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  return count();
}
