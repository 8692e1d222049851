/** What the commands for API keys and for invitations have in common: both let others in, by this host's credential. */
import { CommandError, EXIT, plain } from '../command-error.ts';
import type { Config } from '../config.ts';
import { edgeOf } from '../edge-address.ts';
import type { EdgeApi } from '../edge-api.ts';
import type { Store } from '../store.ts';
import { type Context, type Flags, hostApi, openStore, readConfig } from './context.ts';

/** As the login leaves it; the edge lets no other agent do this. */
const HOST_CREDENTIAL = 'dah_';

/** `what`: “API keys”. @throws CommandError or ConfigError */
export function openAccount(
  context: Context,
  flags: Flags,
  what: string,
): { api: EdgeApi; edge: string; config: Config; store: Store } {
  const store = openStore(context, flags);
  const config = readConfig(context, flags, store);
  const edge = edgeOf(config.signalingUrl);
  if (!config.token.startsWith(HOST_CREDENTIAL)) {
    throw new CommandError(
      EXIT.config,
      `${what} need a login, and this agent runs with a configured token. Make them at ${edge}/_direct/, or run: direct-agent login ${edge}`,
    );
  }
  return { api: hostApi(context, config), edge, config, store };
}

/** The one that a person named. `kind`: “API key”; `command`: what lists them. @throws CommandError */
export function theOne<T extends { id: string; name: string }>(
  all: readonly T[],
  idOrName: string,
  { kind, command }: { kind: string; command: string },
): T {
  const named = all.filter(({ name }) => name === idOrName);
  const found = all.find(({ id }) => id === idOrName) ?? (named.length === 1 ? named[0] : undefined);
  if (found !== undefined) return found;
  const why =
    named.length === 0
      ? `This host has no ${kind} with the id or name “${plain(idOrName)}”. See: ${command}`
      : `Several ${kind}s are called “${plain(idOrName)}”. Revoke by id: ${named.map(({ id }) => id).join(', ')}`;
  throw new CommandError(EXIT.usage, why);
}

const HOUR_MS = 3_600_000;
const UNITS: Readonly<Record<string, number>> = { h: HOUR_MS, d: 24 * HOUR_MS, w: 168 * HOUR_MS, y: 8_760 * HOUR_MS };

/** `30d`, or a day such as 2027-01-31, which counts to its end in UTC. Milliseconds since 1970. */
export function expiryOf(text: string, now: number): number {
  const [, count, unit = ''] = /^(\d{1,4})([hdwy])$/.exec(text) ?? [];
  const span = Number(count) * (UNITS[unit] ?? Number.NaN);
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T23:59:59.999Z`) : Number.NaN;
  const at = Number.isNaN(span) ? day : now + span;
  if (at > now) return at;
  throw new CommandError(
    EXIT.usage,
    `--expires: ${JSON.stringify(text)} is no time to come. Write 12h, 30d, 8w, 1y, or a day such as 2030-01-31.`,
  );
}
