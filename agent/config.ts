import { join } from 'node:path';
import envPaths from 'env-paths';
import type { z } from 'zod';
import type { AccessMode } from './access-mode.ts';
import { ConfigError } from './config-error.ts';
import { ENV_PREFIX, explain, flagName, missing, type Origin, unreadable } from './config-messages.ts';
import {
  expand,
  FOLDER,
  type Found,
  permissions,
  readEnv,
  readFlags,
  readOptional,
  readText,
  readYaml,
} from './config-sources.ts';
import { DEFAULT_QUEUE, type QueueLimits } from './fair-queue.ts';
import type { LogFormat, LogLevel } from './log.ts';
import type { MetricsAddress } from './metrics-address.ts';
import { Mistake } from './mistake.ts';
import type { NetworkSettings } from './network-settings.ts';
import { contradictions, isNetworkKey } from './network-values.ts';
import { type Rules, rulesOf } from './policy.ts';
import { bearerToken, isKey, KEYS, type Key, SECRETS, settings } from './settings.ts';
import { namesOf, upstreamProblems } from './upstream-settings.ts';
import type { UpstreamHeaders } from './upstreams.ts';
import { type WebUiSettings, webUiOf, webUiProblems, webUiWarnings } from './web-ui-settings.ts';

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
  readonly logFormat: LogFormat;
  /** Where the metrics are shown; undefined: nowhere. */
  readonly metrics: MetricsAddress | undefined;
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

/** The folder with the agent's files: `--folder`, DIRECT_AGENT_FOLDER, or where this system keeps configuration. */
export function folderOf({ flags = {}, env = process.env, cwd = process.cwd() }: ConfigSources = {}): string {
  const named = flags.folder ?? env[FOLDER];
  if (typeof named === 'string' && named !== '') return expand(named, cwd);
  return envPaths('direct-agent', { suffix: '' }).config;
}

/** `namedAt`: where somebody has named this very file. */
function fileOf(sources: ConfigSources): { path: string; namedAt?: string } {
  const { flags = {}, env = process.env, cwd = process.cwd() } = sources;
  const name = flags.config ?? env[`${ENV_PREFIX}CONFIG`];
  if (typeof name !== 'string') return { path: join(sources.configFolder ?? folderOf(sources), 'config.yaml') };
  return { path: expand(name, cwd), namedAt: flags.config === undefined ? `${ENV_PREFIX}CONFIG` : flagName('config') };
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

/** A key with what the agent goes by: as it is written somewhere, or the default. */
export interface EffectiveValue extends Origin {
  readonly key: string;
}

/** What counts, key by key, with where it comes from. @throws {ConfigError} */
export function effectiveValues(sources: ConfigSources = {}): readonly EffectiveValue[] {
  return readConfig(sources, false).values;
}

/** The file that is read, if it is there. */
export function configFile(sources: ConfigSources = {}): string {
  return fileOf(sources).path;
}

/** What is wrong with a file of this text, were it the only source. A connection may be missing, or half. */
export function problemsOfFile(path: string, text: string, sources: ConfigSources = {}): readonly string[] {
  const { readFile = readText } = sources;
  try {
    readConfig(
      {
        ...sources,
        flags: { config: path },
        env: {},
        readFile: (name) => (name === path ? text : readFile(name)),
        // It need not be there yet.
        fileMode: () => undefined,
        login: undefined,
      },
      false,
    );
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

interface Read {
  readonly values: readonly EffectiveValue[];
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

  const { path, namedAt } = fileOf(sources);
  const text = readOptional(path, readFile, namedAt);
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
      const reason = error instanceof Mistake ? error.message : unreadable(error);
      problems.push(`token_file (${tokenFile.origin}): the file ${name} ${reason}.`);
    }
  }
  const network = parsed.success ? { ...networkOf(parsed.data), ...placesOf(found) } : undefined;
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
    logFormat: data.log_format,
    metrics: data.metrics,
    file: text === undefined ? undefined : path,
    warnings,
  };
  const values = effective(found, data, sources.login);
  const { signaling_url: url } = data;
  if (url === undefined && token === undefined)
    return { values, agentSettings, connection: sources.login, connectionOrigins };
  token ??= sources.login?.token;
  const connection = url === undefined || token === undefined ? undefined : { ...url, token };
  return { values, agentSettings, connection, connectionOrigins };
}

function effective(
  found: ReadonlyMap<Key, Found>,
  data: z.infer<typeof settings>,
  login: Connection | undefined,
): EffectiveValue[] {
  const byLogin = new Map<string, unknown>();
  const isOwn = (['token', 'token_file'] as const).some((key) => found.has(key));
  const url = data.signaling_url?.signalingUrl;
  if (login !== undefined && !isOwn && (url === undefined || url === login.signalingUrl)) {
    byLogin.set('signaling_url', login.signalingUrl).set('token', login.token);
  }
  return KEYS.filter(isKey).map((key) => {
    const { value, origin } = found.get(key) ?? {};
    if (origin !== undefined) return { key, value, origin };
    if (byLogin.has(key)) return { key, value: byLogin.get(key), origin: 'login' };
    return { key, value: data[key], origin: data[key] === undefined ? 'not set' : 'default' };
  });
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
    engine: data.engine,
  };
}

/** Only where something is set: a configuration without any of it has no places. */
function placesOf(found: ReadonlyMap<Key, Found>): Pick<NetworkSettings, 'places'> {
  const places = [...found].flatMap(([key, { origin }]) => (isNetworkKey(key) ? [[key, origin] as const] : []));
  return places.length === 0 ? {} : { places: Object.fromEntries(places) };
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
