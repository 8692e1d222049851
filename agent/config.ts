import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import {
  ENV_PREFIX,
  envName,
  explain,
  flagName,
  flagProperty,
  missing,
  type Origin,
  reasonOf,
  unknownKey,
} from './config-messages.ts';
import type { AccessMode } from './door.ts';
import type { QueueLimits } from './fair-queue.ts';
import { DEFAULT_QUEUE } from './fair-queue.ts';
import type { LogLevel } from './log.ts';
import { Mistake } from './mistake.ts';
import type { NetworkSettings } from './network-settings.ts';
import { contradictions } from './network-values.ts';
import { type Rules, rulesOf } from './policy.ts';
import { bearerToken, isKey, KEYS, type Key, SECRETS, settings } from './settings.ts';
import { namesOf, upstreamProblems } from './upstream-settings.ts';
import type { UpstreamHeaders } from './upstreams.ts';
import { type WebUiSettings, webUiOf, webUiProblems, webUiWarnings } from './web-ui-settings.ts';

const FOLDER = `${ENV_PREFIX}FOLDER`;
/** Variables that say where to look, and no setting. */
const PLACES: readonly string[] = [`${ENV_PREFIX}CONFIG`, FOLDER];
const NO_EDGE =
  'The agent does not know its edge. Run: direct-agent login <edge>; or set signaling_url and token (docs/configuration.md).';
const CONNECTION_KEYS = ['signaling_url', 'token', 'token_file'] as const;

/** What the agent runs with; every value is checked. */
export interface Config extends Connection, AgentSettings {}

/** Where the agent serves, and what it shows there. */
export interface Connection {
  /** Ends in `/_direct/h/{host id}`, without a slash after it. */
  readonly signalingUrl: string;
  readonly hostId: string;
  /** Secret. */
  readonly token: string;
}

/** Everything that does not come from a login. */
export interface AgentSettings {
  /** Base URLs without a slash at the end; empty: find local servers. */
  readonly upstreams: readonly string[];
  /** The user's names for them, by URL. */
  readonly upstreamNames: Readonly<Record<string, string>>;
  readonly network: NetworkSettings;
  readonly maxConns: number;
  readonly maxBodyBytes: number;
  readonly allowedPrefixes: readonly string[];
  readonly allowManagement: boolean;
  readonly upstreamHeaders: UpstreamHeaders;
  /** What each kind of client may do, of what the edge lets it do. */
  readonly policy: Rules;
  /** Requests that run at a time at each upstream, or at those of these names; any number unless told otherwise. */
  readonly concurrentRequests: number | Readonly<Record<string, number>> | undefined;
  /** How many requests may wait for that. */
  readonly queue: QueueLimits;
  /** The host's own web UI, if it serves one. */
  readonly webUi: WebUiSettings | undefined;
  /** Whom the agent accepts of those whom the edge lets through. */
  readonly access: AccessMode;
  /** Whether it takes plain HTTPS requests, which the edge can read. */
  readonly tunnel: boolean;
  readonly logLevel: LogLevel;
  /** The file that was read, if there was one. */
  readonly file: string | undefined;
  /** What works but should be changed; for stderr. */
  readonly warnings: readonly string[];
}

export interface ConfigSources {
  /** As commander gives them: `signalingUrl`; `config` names the file. Unknown ones are the command's own business. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Throws an error with code ENOENT if there is no such file. */
  readonly readFile?: (path: string) => string;
  /** Permission bits, or undefined where they mean nothing. */
  readonly fileMode?: (path: string) => number | undefined;
  readonly cwd?: string;
  /** Where `config.yaml` is looked for; `folderOf` if it is not given. */
  readonly configFolder?: string;
  /** What `direct-agent login` saved. It counts where neither signaling_url nor a token is set. */
  readonly login?: Connection | undefined;
}

/** Every problem of the configuration at once, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

interface Found extends Origin {
  readonly priority: 0 | 1 | 2;
  /** Relative file names start here. */
  readonly folder: string;
}

/** The folder with the agent's files: `--folder`, DIRECT_AGENT_FOLDER, or where this system keeps configuration. */
export function folderOf({ flags = {}, env = process.env, cwd = process.cwd() }: ConfigSources = {}): string {
  const named = flags.folder ?? env[FOLDER];
  if (typeof named === 'string' && named !== '') return expand(named, cwd);
  return envPaths('direct-agent', { suffix: '' }).config;
}

/**
 * Reads file, environment and flags, in that order of increasing priority.
 * @throws {ConfigError} naming the key, where it stands, its value unless secret, and the fix
 */
export function loadConfig(sources: ConfigSources = {}): Config {
  const { agentSettings, connection } = readConfig(sources);
  if (connection === undefined) throw new ConfigError([NO_EDGE]);
  return { ...connection, ...agentSettings };
}

/**
 * The settings without a connection, for a login that makes one.
 * @throws {ConfigError} also when a connection is configured: it would win over the login ever after
 */
export function loadSettings(sources: ConfigSources = {}): AgentSettings {
  const { agentSettings, connectionOrigins } = readConfig({ ...sources, login: undefined }, false);
  if (connectionOrigins.length === 0) return agentSettings;
  throw new ConfigError([
    `${connectionOrigins.join(', ')}: set there, so it would win over a login. Remove it, then log in; or do not log in and run: direct-agent up`,
  ]);
}

interface Read {
  readonly agentSettings: AgentSettings;
  readonly connection: Connection | undefined;
  /** Where signaling_url, token and token_file are set. */
  readonly connectionOrigins: readonly string[];
}

/** With `complete`, a connection that is missing or half is one of the problems. */
function readConfig(sources: ConfigSources, complete = true): Read {
  const { flags = {}, env = process.env, readFile = readText, fileMode = permissions, cwd = process.cwd() } = sources;
  const problems: string[] = [];
  const warnings: string[] = [];

  const named = flags.config ?? env[`${ENV_PREFIX}CONFIG`];
  const folder = sources.configFolder ?? folderOf(sources);
  const path = typeof named === 'string' ? expand(named, cwd) : join(folder, 'config.yaml');
  const text = readOptional(path, readFile, typeof named === 'string');
  const fromFile = text === undefined ? new Map<Key, Found>() : readYaml(path, text, problems);
  const found = new Map([...fromFile, ...readEnv(env, cwd, problems), ...readFlags(flags, cwd)]);
  preferOneToken(found, problems);
  if ([...fromFile.keys()].some((key) => SECRETS.includes(key))) warnIfReadable(path, fileMode, warnings);

  const parsed = settings.safeParse(Object.fromEntries([...found].map(([key, { value }]) => [key, value])));
  for (const issue of parsed.error?.issues ?? []) problems.push(explain(issue, found));
  const connectionOrigins = CONNECTION_KEYS.flatMap((key) => {
    const origin = found.get(key)?.origin;
    return origin === undefined ? [] : [`${key} (${origin})`];
  });
  if (complete) problems.push(...missingParts(found, sources.login));
  const tokenFile = found.get('token_file');
  let token = parsed.data?.token;
  if (parsed.success && tokenFile !== undefined && parsed.data.token_file !== undefined) {
    const name = expand(parsed.data.token_file, tokenFile.folder);
    try {
      token = bearerToken(readFile(name).trim());
      warnIfReadable(name, fileMode, warnings);
    } catch (error) {
      const reason = error instanceof Mistake ? error.message : `cannot be read (${reasonOf(error)}). Check the name`;
      problems.push(`token_file (${tokenFile.origin}): the file ${name} ${reason}.`);
    }
  }
  const network = parsed.success ? networkOf(parsed.data) : undefined;
  if (network !== undefined) problems.push(...contradictions(network, (key) => found.get(key)?.origin));
  if (parsed.success) problems.push(...webUiProblems((key) => found.get(key)?.origin));
  if (parsed.success) problems.push(...upstreamProblems(parsed.data, (key) => found.get(key)?.origin));
  if (problems.length > 0 || !parsed.success || network === undefined) throw new ConfigError(problems);

  const { data } = parsed;
  const upstreams = data.upstream.map(({ name, url }) => ({ name, url: url.replace(/\/v1$/, '') }));
  if (data.upstream.some(({ url }) => url.endsWith('/v1')))
    warnings.push('upstream: left out the /v1 at its end; requests bring it.');
  if (data.allowed_prefixes.includes('/'))
    warnings.push('allowed_prefixes: / lets clients reach every path of the upstream.');
  warnings.push(...webUiWarnings(data));
  const agentSettings: AgentSettings = {
    upstreams: upstreams.map(({ url }) => url),
    upstreamNames: namesOf(upstreams),
    // Nobody would be told of the port.
    network: network.relayOnly ? { ...network, portMapping: false } : network,
    maxConns: data.max_conns,
    maxBodyBytes: data.max_body_bytes,
    allowedPrefixes: data.allowed_prefixes,
    allowManagement: data.allow_management,
    upstreamHeaders: data.upstream_headers,
    policy: rulesOf(data.policy),
    concurrentRequests: data.concurrent_requests,
    queue: {
      perClient: data.queue.per_client ?? DEFAULT_QUEUE.perClient,
      total: data.queue.total ?? DEFAULT_QUEUE.total,
    },
    webUi: webUiOf(data),
    access: data.access,
    tunnel: data.tunnel,
    logLevel: data.log_level,
    file: text === undefined ? undefined : path,
    warnings,
  };
  const { signaling_url: url } = data;
  if (url === undefined && token === undefined) return { agentSettings, connection: sources.login, connectionOrigins };
  token ??= sources.login?.token;
  const connection = url === undefined || token === undefined ? undefined : { ...url, token };
  return { agentSettings, connection, connectionOrigins };
}

function networkOf(data: z.infer<typeof settings>): NetworkSettings {
  return {
    interfaces: data.interfaces,
    excludeInterfaces: data.exclude_interfaces,
    nat1to1: data.nat_1to1,
    udpPorts: data.udp_ports,
    ipFamily: data.ip_family,
    relayOnly: data.relay_only,
    stunUrls: data.stun_urls,
    portMapping: data.port_mapping,
  };
}

/**
 * What a connection lacks. A login fills the gap of a missing token only for the same edge and host: no edge shall
 * see the credential of another one.
 */
function missingParts(found: ReadonlyMap<Key, Found>, login: Connection | undefined): string[] {
  const url = found.get('signaling_url');
  const token = found.get('token') ?? found.get('token_file');
  if (url === undefined && token === undefined) return login === undefined ? [NO_EDGE] : [];
  if (url === undefined) {
    const way = `Or remove the token (${token?.origin}) and run: direct-agent login <edge>`;
    return [`${missing('signaling_url', 'the agent does not know its edge')} ${way}`];
  }
  if (token !== undefined || String(url.value).replace(/\/$/, '') === login?.signalingUrl) return [];
  const other = login === undefined ? '' : `The login of this machine is for ${login.signalingUrl}. `;
  const way = `${other}Or remove signaling_url (${url.origin}) and run: direct-agent login <edge>`;
  return [`${missing('token', 'the agent cannot prove to the edge that it may serve this host')} ${way}`];
}

// ---- sources ---------------------------------------------------------------------------------

function readOptional(path: string, readFile: (path: string) => string, required: boolean): string | undefined {
  try {
    return readFile(path);
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && !required) return undefined;
    throw new ConfigError([
      `config: the file ${path} cannot be read (${reasonOf(error)}). Check its name and permissions.`,
    ]);
  }
}

/** A file that is no YAML map is the only problem worth reporting, so it throws; unknown keys are collected. */
function readYaml(path: string, text: string, problems: string[]): Map<Key, Found> {
  const found = new Map<Key, Found>();
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map((error) => {
        // The rest of the library's message quotes the line, which may hold a secret.
        const what = error.message.split(/ at line |\n/)[0];
        return `config (${path}:${error.linePos?.[0].line ?? 1}): not valid YAML: ${what}. Correct the line.`;
      }),
    );
  }
  if (document.contents === null) return found;
  if (!isMap(document.contents)) {
    throw new ConfigError([`config (${path}:1): a list or a single value. Write lines of the form “key: value”.`]);
  }
  const values = plainValues(path, document);
  for (const { key } of document.contents.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const range = isScalar(key) ? key.range : undefined;
    const origin = `${path}:${range == null ? 1 : lineCounter.linePos(range[0]).line}`;
    const value = values[name];
    if (!isKey(name)) problems.push(unknownKey(name, origin, KEYS));
    // “key:” with nothing behind it means that it is not set.
    else if (value !== null) found.set(name, { value, origin, priority: 0, folder: dirname(path) });
  }
  return found;
}

function plainValues(path: string, document: Document): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(document.toJS());
  } catch {
    throw new ConfigError([
      `config (${path}): an alias (*name) has no anchor (&name) before it. Write the value itself.`,
    ]);
  }
}

function readEnv(
  env: Readonly<Record<string, string | undefined>>,
  folder: string,
  problems: string[],
): Map<Key, Found> {
  const found = new Map<Key, Found>();
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || PLACES.includes(name) || value === undefined || value === '') continue;
    const key = name.slice(ENV_PREFIX.length).toLowerCase();
    if (isKey(key)) found.set(key, { value, origin: name, priority: 1, folder });
    else problems.push(unknownKey(name, 'environment', KEYS.map(envName)));
  }
  return found;
}

function readFlags(flags: Readonly<Record<string, unknown>>, folder: string): Map<Key, Found> {
  const found = new Map<Key, Found>();
  for (const key of KEYS.filter(isKey)) {
    const value = flags[flagProperty(key)];
    if (value !== undefined) found.set(key, { value, origin: flagName(key), priority: 2, folder });
  }
  return found;
}

/** The source of higher priority decides between token and token_file; both in one source is a mistake. */
function preferOneToken(found: Map<Key, Found>, problems: string[]): void {
  const token = found.get('token');
  const file = found.get('token_file');
  if (token === undefined || file === undefined) return;
  if (token.priority === file.priority) {
    problems.push(`token and token_file (${token.origin}, ${file.origin}) are both set. Remove one of them.`);
  }
  found.delete(token.priority < file.priority ? 'token' : 'token_file');
}

function warnIfReadable(path: string, fileMode: (path: string) => number | undefined, warnings: string[]): void {
  const mode = fileMode(path);
  if (mode === undefined || (mode & 0o077) === 0) return;
  warnings.push(
    `${path} holds a secret and other users may read it (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${path}`,
  );
}

function expand(path: string, folder: string): string {
  return path.startsWith('~/') ? join(homedir(), path.slice(2)) : resolve(folder, path);
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function permissions(path: string): number | undefined {
  return process.platform === 'win32' ? undefined : statSync(path).mode;
}
