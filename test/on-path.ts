import { vi } from 'vitest';
import type { Client } from '../web/client/index.ts';

/** The client once it uses `path`, for which its first requests do not wait as long as a busy machine may take. */
export async function onPath(client: Client, path: Client['path']): Promise<Client> {
  await vi.waitUntil(() => client.path === path, { timeout: 30_000 });
  return client;
}
