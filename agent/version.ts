/** The version of this program; the package has one version for all its parts. */
import { readFileSync } from 'node:fs';

/** Set by scripts that bundle the agent into one file, which is not beside package.json. */
declare const DIRECT_AGENT_VERSION: string | undefined;

export const VERSION: string =
  typeof DIRECT_AGENT_VERSION === 'string'
    ? DIRECT_AGENT_VERSION
    : JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
