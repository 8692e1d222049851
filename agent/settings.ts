import { z } from 'zod';
import { DirectError } from '../shared/errors.ts';
import { DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_CONNECTIONS, MAX_ID_LENGTH } from '../shared/limits.ts';
import { parseTarget } from '../shared/target.ts';
import { ACCESS_MODES } from './access-mode.ts';
import { isLoopback } from './edge-address.ts';
import { ENGINES } from './engine.ts';
import { LEVELS, LOG_FORMATS } from './log.ts';
import { METRICS_EXPECTED, metricsAddress } from './metrics-address.ts';
import { Mistake } from './mistake.ts';
import {
  addressMapping,
  addressMappings,
  IP_FAMILIES,
  interfacePattern,
  NETWORK_EXPECTED,
  portRange,
} from './network-values.ts';
import { distinct, namedUrl, upstreamHeaders } from './upstream-settings.ts';

/** More than a home connection or the edge's memory of it can use; a higher number is a slip. */
const MAX_CONNECTIONS_LIMIT = 1000;
/** Bodies pass through in pieces, so this only catches slips such as a wrong unit. */
const MAX_BODY_LIMIT = 1024 ** 4;

const MAX_COUNT = 1_000_000;
const count = number(wholeNumberTo(MAX_COUNT));

/** What one kind of client may do. */
const rule = z.strictObject({
  prefixes: items(prefix).optional(),
  models: items(modelName).optional(),
  requests_per_minute: count.optional(),
  concurrent_requests: count.optional(),
  allow_management: yesNo().optional(),
});

/** Keys of the file; `DIRECT_AGENT_` and upper case in the environment, `--max-conns` and so on as flags. */
export const settings = z.object({
  signaling_url: text(signalingUrl).optional(),
  token: text(bearerToken).optional(),
  token_file: text(fileName).optional(),
  upstream: list((value) => namedUrl(value, upstreamUrl), distinct),
  interfaces: list(interfacePattern),
  exclude_interfaces: list(interfacePattern),
  nat_1to1: list(addressMapping, addressMappings),
  udp_ports: number(portRange).optional(),
  ip_family: z.enum(IP_FAMILIES).default('any'),
  relay_only: yesNo().default(false),
  stun_urls: list(stunUrl),
  port_mapping: yesNo().default(true),
  engine: z.enum(ENGINES).default('auto'),
  max_conns: number(wholeNumberTo(MAX_CONNECTIONS_LIMIT)).default(DEFAULT_MAX_CONNECTIONS),
  max_body_bytes: number(byteSize).default(DEFAULT_MAX_BODY_BYTES),
  allowed_prefixes: list(prefix),
  allow_management: yesNo().default(false),
  upstream_headers: z
    .union([
      z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])),
      z.array(z.string()),
      z.string(),
    ])
    .transform(checked((value) => upstreamHeaders(value, headers)))
    .default({ any: {}, of: {} }),
  policy: json(
    z.strictObject({
      owner: rule.optional(),
      keys: rule.optional(),
      guests: rule.optional(),
      anonymous: rule.optional(),
    }),
  ).prefault({}),
  concurrent_requests: json(z.union([count, z.record(z.string(), count)])).optional(),
  queue: json(z.strictObject({ per_client: count.optional(), total: count.optional() })).prefault({}),
  web_ui: text(webUiUrl).optional(),
  web_ui_https_paths: list(prefix),
  access: z.enum(ACCESS_MODES).default('edge'),
  tunnel: yesNo().default(true),
  log_level: z.enum(LEVELS).default('info'),
  log_format: z.enum(LOG_FORMATS).default('text'),
  metrics: number(metricsAddress).optional(),
});

export type Key = keyof typeof settings.shape;

/** What to write, for every message about a wrong type. */
export const EXPECTED: Record<Key, string> = {
  signaling_url: 'https://EDGE/_direct/h/HOST, as the edge shows it',
  token: 'the agent’s token, in quotes',
  token_file: 'the name of a file that contains only the token',
  upstream: 'a URL or a list of URLs, such as http://127.0.0.1:11434 or gpu=http://gpu.lan:8000',
  ...NETWORK_EXPECTED,
  stun_urls: 'a list such as stun:stun.example.org:3478',
  max_conns: `a whole number from 1 to ${MAX_CONNECTIONS_LIMIT}`,
  max_body_bytes: 'a size such as 10MB, 512KiB or 1000000',
  allowed_prefixes: 'a list of paths such as /custom',
  allow_management: 'true or false',
  upstream_headers: 'a map, or lines of the form “Name: value”',
  policy: 'a map such as {guests: {models: [llama3], requests_per_minute: 30}}',
  concurrent_requests: 'a whole number such as 4, or a map such as {ollama: 2, vllm: 16}',
  queue: 'a map such as {per_client: 128, total: 512}',
  web_ui: 'the base URL of a web UI, such as http://127.0.0.1:3000',
  web_ui_https_paths: 'a list of paths such as /static',
  access: 'edge or paired',
  tunnel: 'true or false',
  log_level: 'error, warn, info or debug',
  log_format: 'text or json',
  metrics: METRICS_EXPECTED,
};
export const KEYS = Object.keys(EXPECTED);
/** Values that no message may show. */
export const SECRETS: readonly string[] = ['token', 'upstream_headers'];
export function isKey(name: string): name is Key {
  return Object.hasOwn(settings.shape, name);
}

function checked<I, T>(parse: (value: I) => T): (value: I, context: z.core.$RefinementCtx<I>) => T {
  return (value, context) => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  };
}

function text<T>(parse: (value: string) => T) {
  return z.string().transform(checked(parse));
}

function number<T>(parse: (value: number | string) => T) {
  return z.union([z.number(), z.string()]).transform(checked(parse));
}

function yesNo() {
  return z.union([z.boolean(), z.string()]).transform(checked(yesOrNo));
}

/** `parseAll` judges the items together. */
function list<T>(parse: (value: string) => T, parseAll: (values: T[]) => T[] = (values) => values) {
  return items(parse, parseAll).prefault([]);
}

function items<T>(parse: (value: string) => T, parseAll: (values: T[]) => T[] = (values) => values) {
  return z.preprocess((value) => commaSeparated(value), z.array(text(parse)).transform(checked(parseAll)));
}

/** In the environment, a map is JSON. */
function json<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => fromJson(value), schema);
}

/** What the text says, where it is JSON; as it is where not. */
export function fromJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

export function commaSeparated(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value.split(',').flatMap((item) => item.trim() || []);
}

function httpUrl(value: string, example: string): URL {
  const url = URL.parse(value);
  if (url === null || !/^(https?|wss?):$/.test(url.protocol)) throw new Mistake(`is no http URL. Write ${example}`);
  if (url.username !== '' || url.password !== '') throw new Mistake(`contains a password. Write ${example}`);
  if (url.search !== '' || url.hash !== '') throw new Mistake(`has a query or a fragment. Write ${example}`);
  return url;
}

function signalingUrl(value: string): { signalingUrl: string; hostId: string } {
  const url = httpUrl(value, EXPECTED.signaling_url);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw new Mistake('is not HTTPS, so others could read the token. Use https://; http:// is for localhost only');
  }
  const hostId = new RegExp(`/_direct/h/([A-Za-z0-9_-]{1,${MAX_ID_LENGTH}})/?$`).exec(url.pathname)?.[1];
  if (hostId === undefined) throw new Mistake(`does not end in a host. Write ${EXPECTED.signaling_url}`);
  return { signalingUrl: url.origin + url.pathname.replace(/\/$/, ''), hostId };
}

function upstreamUrl(value: string): string {
  return serverUrl(
    value,
    'the base URL of your LLM server, such as http://127.0.0.1:11434; secrets go to upstream_headers',
  );
}

function webUiUrl(value: string): string {
  return serverUrl(value, EXPECTED.web_ui);
}

function serverUrl(value: string, example: string): string {
  const url = httpUrl(value, example);
  if (!url.protocol.startsWith('http')) throw new Mistake(`is no http URL. Write ${example}`);
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** RFC 7064, section 3.1: no slashes, no query. */
function stunUrl(value: string): string {
  const match = /^stuns?:(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(\d{1,5}))?$/i.exec(value);
  const port = Number(match?.[1] ?? 3478);
  if (match === null || port < 1 || port > 65_535) {
    throw new Mistake('is no STUN address. Write stun:HOST:PORT, such as stun:stun.cloudflare.com:3478');
  }
  return value;
}

/** Goes into an Authorization header (RFC 6750, section 2.1), so no spaces and no control characters. */
export function bearerToken(value: string): string {
  if (!/^[!-~]{1,4096}$/.test(value))
    throw new Mistake('is empty or contains spaces. Copy the whole token, nothing else');
  return value;
}

function fileName(value: string): string {
  if (value === '') throw new Mistake(`is empty. Write ${EXPECTED.token_file}`);
  return value;
}

/** Units as in SI and IEC 80000-13: MB is 1000², MiB is 1024². */
function byteSize(value: number | string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmg])(i?))?b?$/i.exec(String(value));
  const power = 1 + 'kmg'.indexOf((match?.[2] ?? ' ').toLowerCase());
  const bytes = Math.round(Number(match?.[1]) * (match?.[3] ? 1024 : 1000) ** power);
  if (match === null) throw new Mistake(`is no size. Write ${EXPECTED.max_body_bytes}`);
  if (bytes < 1 || bytes > MAX_BODY_LIMIT) {
    throw new Mistake(`is not between 1 byte and 1 TiB. Write ${EXPECTED.max_body_bytes}`);
  }
  return bytes;
}

function wholeNumberTo(most: number) {
  return (value: number | string): number => {
    const count = typeof value === 'string' && !/^\d+$/.test(value) ? Number.NaN : Number(value);
    const fix = `Write a whole number from 1 to ${most}`;
    if (!Number.isInteger(count)) throw new Mistake(`is no whole number. ${fix}`);
    if (count < 1 || count > most) throw new Mistake(`is out of range. ${fix}`);
    return count;
  };
}

function modelName(value: string): string {
  if (value.trim() === '') throw new Mistake('is empty. Write the name of a model, as in /v1/models');
  return value.trim();
}

function prefix(value: string): string {
  try {
    const { path, query } = parseTarget(value);
    if (query !== '') throw new Mistake('has a query. Write only the path');
    return path === '/' ? path : path.replace(/\/$/, '');
  } catch (error) {
    if (!(error instanceof DirectError)) throw error;
    throw new Mistake(`is no path (${error.detail}). Write a path such as /custom`);
  }
}

function yesOrNo(value: boolean | string): boolean {
  if (typeof value === 'boolean') return value;
  if (/^(true|yes|on|1)$/i.test(value)) return true;
  if (/^(false|no|off|0)$/i.test(value)) return false;
  throw new Mistake(`is neither yes nor no. Write ${EXPECTED.allow_management}`);
}

/** Header fields for the upstream (RFC 9110, section 5); those that frame the message belong to the proxy. */
function headers(value: Record<string, string> | string[] | string): Record<string, string> {
  const lines = typeof value === 'string' ? value.split('\n').filter((line) => line.trim() !== '') : value;
  const pairs = Array.isArray(lines)
    ? lines.map((line) => /^([^:]*):(.*)$/s.exec(line)?.slice(1) ?? [])
    : Object.entries(lines);
  return Object.fromEntries(
    pairs.map(([name = '', content = '']) => {
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
        throw new Mistake(`has a line without a field name. Write ${EXPECTED.upstream_headers}`);
      if (/^(connection|content-length|transfer-encoding|upgrade|te|trailer)$/i.test(name)) {
        throw new Mistake(`sets ${name}, which the agent sets itself. Remove that line`);
      }
      if (!/^[\t -~]*$/.test(content)) throw new Mistake(`has a control or non-ASCII character in ${name}. Remove it`);
      return [name.toLowerCase(), content.trim()];
    }),
  );
}
