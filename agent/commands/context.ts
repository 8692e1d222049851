/** What every command takes from the process, so that a test can be the process, and how it begins. */
import { plain } from '../command-error.ts';
import { type Config, type ConfigSources, type Connection, folderOf, loadConfig } from '../config.ts';
import { edgeOf, signalingUrl } from '../edge-address.ts';
import { EdgeApi } from '../edge-api.ts';
import type { Terminals } from '../live-terminal.ts';
import type { Interfaces } from '../local-addresses.ts';
import { qrCode } from '../qr.ts';
import { type Credentials, Store } from '../store.ts';

export interface Context {
  /** One line on stdout: for programs. */
  out(line: string): void;
  /** One line on stderr: for people. */
  err(line: string): void;
  /** Takes why the process ends, and what nobody expected, in place of stderr: a command that logs puts it there. */
  failed?: ((message: string) => void) | undefined;
  /** Width of the terminal that shows stderr; undefined where no person looks at it. */
  columns: number | undefined;
  /** What can be shown live, and where. */
  terminals?: Terminals;
  env: Readonly<Record<string, string | undefined>>;
  fetch: typeof fetch;
  /** Milliseconds since 1970. */
  now(): number;
  /** Ends early when the signal aborts. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Ctrl+C, or the end of the service. */
  signal: AbortSignal;
  hostname(): string;
  /** The network interfaces of this machine, as `os.networkInterfaces()` has them. */
  interfaces(): Interfaces;
}

/** As commander gives them. */
export type Flags = Readonly<Record<string, unknown>>;

export function openStore(context: Context, flags: Flags): Store {
  return new Store(folderOf({ flags, env: context.env }), (line) => context.err(line));
}

export function configSources(context: Context, flags: Flags, login?: Credentials): ConfigSources {
  return { flags, env: context.env, login: login === undefined ? undefined : connectionOf(login) };
}

/** @throws ConfigError */
export function readConfig(context: Context, flags: Flags, store: Store): Config {
  return loadConfig(configSources(context, flags, store.credentials()));
}

export function connectionOf({ edge, host_id: hostId, token }: Credentials): Connection {
  return { signalingUrl: signalingUrl(edge, hostId), hostId, token };
}

/** Calls to the edge as this host. */
export function hostApi({ fetch, signal }: Context, { signalingUrl, token }: Connection): EdgeApi {
  return new EdgeApi({ edge: edgeOf(signalingUrl), token, fetch, signal });
}

/** A QR code for a phone, where a person can see it and it fits. */
export function showQr({ columns, err }: Context, text: string): void {
  const lines = columns === undefined ? undefined : qrCode(text, columns);
  for (const line of lines ?? []) err(line);
}

/** Columns under their titles; the last one is as long as it likes. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [titles, ...rows].map((row) => row.map((cell) => plain(cell)));
  const widths = titles.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Of milliseconds since 1970, in UTC. */
export function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
