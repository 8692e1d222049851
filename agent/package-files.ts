/** What this program finds beside itself: in the package, or in a clone that has built one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandError, EXIT } from './command-error.ts';

/** Set by scripts/agent.ts: the wrangler that the edge was made with. */
declare const DIRECT_AGENT_WRANGLER: string | undefined;
const isBuilt = typeof DIRECT_AGENT_WRANGLER === 'string';

/** A version for npx; in a clone whichever is installed there. */
export const WRANGLER: string = isBuilt ? `wrangler@${DIRECT_AGENT_WRANGLER}` : 'wrangler';

/** The edge, ready to deploy (scripts/edge-package.ts). @throws CommandError where there is none */
export function edgeFolder(): string {
  const folder = fileURLToPath(new URL(isBuilt ? '../edge/' : '../dist/edge/', import.meta.url));
  if (existsSync(join(folder, 'wrangler.json'))) return folder;
  throw new CommandError(
    EXIT.config,
    isBuilt
      ? `The edge is missing from this installation (${folder}). Install direct-agent again.`
      : 'The edge is not built yet. Run: npm run build:package',
  );
}
