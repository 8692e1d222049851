/** `direct-agent key`: API keys for programs that reach this host through the edge's plain HTTPS. */
import { z } from 'zod';
import { DirectError } from '../../shared/errors.ts';
import { parseTarget } from '../../shared/target.ts';
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import { type EdgeApi, understood } from '../edge-api.ts';
import { type Context, day, type Flags, table } from './context.ts';
import { expiryOf, openAccount, theOne } from './grants.ts';

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
  // Not commander's own check, which comes before that of a mistyped option.
  if (flags.name === undefined)
    throw new CommandError(EXIT.usage, '--name is missing: what the key is for, such as --name laptop.');
  const wanted = {
    name: String(flags.name),
    prefixes: orNull(flags.prefix, prefixOf),
    models: orNull(flags.model, (model) => model),
    expires_at: typeof flags.expires === 'string' ? expiryOf(flags.expires, context.now()) : null,
    requests_per_minute: typeof flags.rpm === 'string' ? rateOf(flags.rpm) : null,
  };
  const { api, edge, config } = openAccount(context, flags, 'API keys');
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
  const { api, edge } = openAccount(context, flags, 'API keys');
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
  const { api, edge } = openAccount(context, flags, 'API keys');
  const keys = await fetchKeys(api, edge);
  const found = theOne(keys, idOrName, { kind: 'API key', command: 'direct-agent key list' });
  await api.call('DELETE', `/keys/${found.id}`);
  context.err(`The API key “${plain(found.name)}” (${found.id}) is revoked.`);
  if (flags.json === true) context.out(JSON.stringify({ revoked: found.id }));
  return EXIT.ok;
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
