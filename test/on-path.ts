import { expect } from 'vitest';
import type { Client } from '../web/client/index.ts';

/** The client once it uses `path`, for which its first requests do not wait as long as a busy machine may take. */
export async function onPath(client: Client, path: Client['path']): Promise<Client> {
  await expect.poll(() => client.path).toBe(path);
  return client;
}
