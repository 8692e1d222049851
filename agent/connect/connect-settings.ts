/** The flags of `connect`, checked. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { CommandError, EXIT } from '../command-error.ts';
import type { Context, Flags } from '../commands/context.ts';
import { isLoopback } from '../edge-address.ts';
import { bearerToken } from '../settings.ts';
import { checkedName } from './laptop-store.ts';
import type { CallerRules } from './local-caller.ts';

/** Ollama's, which programs try by themselves. */
export const DEFAULT_PORT = 11434;
/** The key, as examples of the client library have it too; DIRECT_AGENT_ is for the agent's settings. */
export const KEY_VARIABLE = 'DIRECT_KEY';

export interface ConnectSettings {
  address: string;
  /** Undefined: whichever is free, from the remembered or the default one up. */
  port: number | undefined;
  rules: CallerRules;
  host: string | undefined;
  name: string | undefined;
  /** Secret; given for this run. */
  key: string | undefined;
  trustFirst: boolean;
  merge: boolean;
  /** Undefined: as remembered. */
  tunnel: boolean | undefined;
  json: boolean;
  verbose: boolean;
}

/** @throws CommandError */
export function connectSettings({ env, err, hostname }: Context, flags: Flags): ConnectSettings {
  const listen = textOf(flags.listen);
  const { address, port: listenPort } = listen === undefined ? { address: '127.0.0.1' } : parseListen(listen);
  const remote = !isLoopback(address.includes(':') ? `[${address}]` : address);
  if (remote && flags.allowRemote !== true) {
    throw new CommandError(
      EXIT.usage,
      `--listen ${listen}: every machine that reaches this address could then use your hosts, without a key. If that is what you want, add --allow-remote.`,
    );
  }
  const port = textOf(flags.port) === undefined ? listenPort : parsePort('--port', String(flags.port));
  const own = hostname().toLowerCase();
  const names = remote
    ? [own, `${own.split('.', 1)[0]}.local`, 'host.docker.internal', 'host.containers.internal']
    : [];
  return {
    address,
    port,
    rules: {
      remote,
      hosts: [...names, ...listOf(flags.allowHost).map((name) => name.toLowerCase())],
      origins: listOf(flags.allowOrigin).map(parseOrigin),
    },
    host: textOf(flags.host),
    name: flags.name === undefined ? undefined : checkedName(String(flags.name)),
    key: keyOf(textOf(flags.keyFile), env[KEY_VARIABLE], err),
    trustFirst: flags.trustFirst === true,
    merge: flags.merge === true,
    tunnel: typeof flags.tunnel === 'boolean' ? flags.tunnel : undefined,
    json: flags.json === true,
    verbose: flags.verbose === true,
  };
}

function textOf(value: unknown): string | undefined {
  return value === undefined ? undefined : String(value);
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function parsePort(what: string, text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new CommandError(EXIT.usage, `${what} ${text} is no port. Write a number up to 65535; 0 takes any free one.`);
}

/** `127.0.0.1`, `0.0.0.0:8080`, `[::1]:8080`. */
function parseListen(text: string): { address: string; port?: number | undefined } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  const given = bracketed ?? plain ?? text;
  const address = given === 'localhost' ? '127.0.0.1' : given;
  if (isIP(address) === 0) {
    throw new CommandError(
      EXIT.usage,
      `--listen ${text} is no address of a machine. Write it as 127.0.0.1:11434, 0.0.0.0:11434 or [::1]:11434.`,
    );
  }
  return { address, port: port === undefined ? undefined : parsePort('--listen', port) };
}

function parseOrigin(text: string): string {
  if (text === '*') return text;
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && url.origin === text.replace(/\/$/, '')) return url.origin;
  // Such as those of browser extensions, which have no origin to the parser.
  if (url !== null && /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+$/.test(text)) return text;
  throw new CommandError(
    EXIT.usage,
    `--allow-origin ${text} is no origin. Write it as https://app.example, without a path; * allows every page.`,
  );
}

function keyOf(file: string | undefined, variable: string | undefined, err: Context['err']): string | undefined {
  if (file === undefined)
    return variable === undefined || variable === '' ? undefined : checkedKey(KEY_VARIABLE, variable);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
    if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
      err(`${file} holds a secret and other users may read it. Run: chmod 600 ${file}`);
    }
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new CommandError(EXIT.config, `--key-file ${file} cannot be read (${reason}).`);
  }
  return checkedKey(`--key-file ${file}`, text.trim());
}

/** @throws CommandError that does not repeat the key. */
export function checkedKey(where: string, text: string): string {
  try {
    return bearerToken(text);
  } catch {
    throw new CommandError(
      EXIT.usage,
      `${where}: the key is empty or contains spaces. Copy the whole key, nothing else.`,
    );
  }
}
