/** Builds what `npm pack` packs: the agent, the client library, the edge. */
import { fileURLToPath } from 'node:url';
import { buildAgent } from './agent.ts';
import { buildClient } from './client.ts';
import { buildEdge } from './edge-package.ts';

export async function buildPackage(): Promise<void> {
  await buildAgent();
  await buildClient();
  await buildEdge();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPackage();
