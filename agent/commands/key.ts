/** `direct-agent key`: API keys for programs that reach this host through the edge's plain HTTPS. */
import { z } from 'zod';
import { DirectError } from '../../shared/errors.ts';
import { parseTarget } from '../../shared/target.ts';
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import type { Config } from '../config.ts';
import { edgeOf } from '../edge-address.ts';
import { type EdgeApi, understood } from '../edge-api.ts';
import { type Context, day, type Flags, hostApi, openStore, readConfig, table } from './context.ts';

/** As the login leaves it; the edge lets no other agent make keys. */
const HOST_CREDENTIAL = 'dah_';

const time = z.number().nullable();
const keyInfo = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  name: z.string(),
  hint: z.string(),
  hosts: z.array(z.string()).nullable(),
  prefixes: z.array(z.string()).nullable(),
  models: z.array(z.string()).nullable(),
  expires_at: time,
  requests_per_minute: time,
  created_at: z.number(),
  last_used_at: time,
});
const keyList = z.object({ keys: z.array(keyInfo) });
const newKey = keyInfo.extend({ key: z.string().regex(/^[!-~]{20,256}$/) });

type KeyInfo = z.infer<typeof keyInfo>;

/** Makes a key for this host. stdout gets the key alone, or JSON. @throws CommandError or ConfigError */
export async function createKey(context: Context, flags: Flags): Promise<ExitCode> {
  const wanted = {
    name: String(flags.name),
    prefixes: orNull(flags.prefix, prefixOf),
    models: orNull(flags.model, (model) => model),
    expires_at: typeof flags.expires === 'string' ? expiryOf(flags.expires, context.now()) : null,
    requests_per_minute: typeof flags.rpm === 'string' ? rateOf(flags.rpm) : null,
  };
  const { api, edge, config } = open(context, flags);
  const answer = await api.call('POST', '/keys', { ...wanted, hosts: [config.hostId] });
  const { key, ...info } = understood(newKey, answer, edge);
  context.err(`Made the API key “${plain(info.name)}” (${info.id}) for the host ${config.hostId}: ${limitsOf(info)}.`);
  context.err('It is shown this once, on the next line. Keep it as you keep a password.');
  context.out(flags.json === true ? JSON.stringify({ ...info, key }, null, 2) : key);
  if (config.access === 'paired' || !config.tunnel) {
    const setting = config.access === 'paired' ? 'access: paired' : 'tunnel: no';
    context.err(`While “${setting}” is set, this host refuses plain HTTPS, and with it all API keys.`);
  }
  context.err(`Base URL for OpenAI clients: ${edge}/v1`);
  context.err(
    `Try it:  curl ${edge}/v1/models -H "Authorization: Bearer <the key>" -H "Direct-Host: ${config.hostId}"`,
  );
  return EXIT.ok;
}

/** @throws CommandError or ConfigError */
export async function listKeys(context: Context, flags: Flags): Promise<ExitCode> {
  const { api, edge } = open(context, flags);
  const keys = await fetchKeys(api, edge);
  if (flags.json === true) {
    context.out(JSON.stringify({ keys }, null, 2));
  } else if (keys.length === 0) {
    context.err('This host has no API keys. Make one with: direct-agent key create --name <name>');
  } else {
    const rows = keys.map((key) => [
      key.id,
      key.name,
      `…${key.hint}`,
      key.last_used_at === null ? 'never' : day(key.last_used_at),
      limitsOf(key),
    ]);
    for (const line of table(['ID', 'NAME', 'KEY', 'LAST USED', 'LIMITS'], rows)) context.out(line);
  }
  return EXIT.ok;
}

/** @throws CommandError or ConfigError */
export async function revokeKey(context: Context, idOrName: string, flags: Flags): Promise<ExitCode> {
  const { api, edge } = open(context, flags);
  const keys = await fetchKeys(api, edge);
  const named = keys.filter(({ name }) => name === idOrName);
  const found = keys.find(({ id }) => id === idOrName) ?? (named.length === 1 ? named[0] : undefined);
  if (found === undefined) {
    const why =
      named.length === 0
        ? `This host has no API key with the id or name “${plain(idOrName)}”. See: direct-agent key list`
        : `Several API keys are called “${plain(idOrName)}”. Revoke by id: ${named.map(({ id }) => id).join(', ')}`;
    throw new CommandError(EXIT.usage, why);
  }
  await api.call('DELETE', `/keys/${found.id}`);
  context.err(`The API key “${plain(found.name)}” (${found.id}) is revoked.`);
  if (flags.json === true) context.out(JSON.stringify({ revoked: found.id }));
  return EXIT.ok;
}

function open(context: Context, flags: Flags): { api: EdgeApi; edge: string; config: Config } {
  const config = readConfig(context, flags, openStore(context, flags));
  const edge = edgeOf(config.signalingUrl);
  if (!config.token.startsWith(HOST_CREDENTIAL)) {
    throw new CommandError(
      EXIT.config,
      `API keys need a login, and this agent runs with a configured token. Make keys at ${edge}/_direct/, or run: direct-agent login ${edge}`,
    );
  }
  return { api: hostApi(context, config), edge, config };
}

async function fetchKeys(api: EdgeApi, edge: string): Promise<KeyInfo[]> {
  return understood(keyList, await api.call('GET', '/keys'), edge).keys;
}

// ---- what people write and read --------------------------------------------------------------

function limitsOf({ prefixes, models, expires_at, requests_per_minute }: KeyInfo): string {
  const limits = [
    ...(prefixes === null ? [] : [`only ${prefixes.join(', ')}`]),
    ...(models === null ? [] : [`models ${models.join(', ')}`]),
    ...(requests_per_minute === null ? [] : [`${requests_per_minute} requests a minute`]),
    ...(expires_at === null ? [] : [`until ${day(expires_at)}`]),
  ];
  return limits.length === 0 ? 'no limits' : plain(limits.join('; '));
}

function orNull(value: unknown, check: (item: string) => string): string[] | null {
  return Array.isArray(value) ? value.map(String).map(check) : null;
}

function prefixOf(prefix: string): string {
  try {
    return parseTarget(prefix).path;
  } catch (error) {
    if (!(error instanceof DirectError)) throw error;
    throw new CommandError(
      EXIT.usage,
      `--prefix: ${JSON.stringify(prefix)} is no path. Write a path such as /v1/chat.`,
    );
  }
}

function rateOf(text: string): number {
  const rate = Number(text);
  if (Number.isInteger(rate) && rate >= 1 && rate <= 100_000) return rate;
  throw new CommandError(EXIT.usage, `--rpm: ${JSON.stringify(text)} is no number of requests a minute, such as 60.`);
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
