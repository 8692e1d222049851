/** Which hosts a command line of `connect` means: those that are remembered, and new ones by their links. */
import { z } from 'zod';
import { isId } from '../../shared/signal.ts';
import { CommandError, EXIT, plain } from '../command-error.ts';
import type { Context } from '../commands/context.ts';
import { EdgeApi } from '../edge-api.ts';
import { isLink, parseLink } from './connect-link.ts';
import { type ConnectSettings, checkedKey, KEY_VARIABLE } from './connect-settings.ts';
import { type LaptopStore, newDevice, type SavedConnection } from './laptop-store.ts';
import type { Terminal } from './terminal.ts';

export interface WantedHost {
  /** What will be remembered, or is. */
  saved: SavedConnection;
  /** The secret of a pairing link. */
  pairing?: string | undefined;
  /** As it was before; undefined for a new one. */
  before: SavedConnection | undefined;
}

const NOTHING_KNOWN =
  "No host is remembered on this machine. On the home machine run direct-agent status, copy the address after “Open:”, and give it here once: direct-agent connect 'https://…'";

const hostList = z.object({ hosts: z.array(z.object({ id: z.string().refine(isId), name: z.string() })) });

export interface WantedOptions {
  context: Context;
  settings: ConnectSettings;
  store: LaptopStore;
  terminal: Terminal;
}

/** @param targets names, links, `-` for a link on stdin; none: all that are remembered. @throws CommandError */
export async function wantedHosts(targets: readonly string[], options: WantedOptions): Promise<WantedHost[]> {
  const { store } = options;
  const known = store.connections();
  const settings = withSafeKey(
    [
      ...(targets.length === 0 ? known : known.filter(({ name }) => targets.includes(name))),
      ...targets.filter(isLink).map((link) => ({ edge: parseLink(link).edge, key: parseLink(link).token })),
    ],
    options,
  );
  const wanted: WantedHost[] = [];
  if (targets.length === 0) {
    if (known.length === 0) throw new CommandError(EXIT.config, NOTHING_KNOWN);
    for (const saved of known) wanted.push(remembered(saved, settings));
  }
  if (settings.name !== undefined && targets.length !== 1) {
    throw new CommandError(EXIT.usage, '--name is for one link.');
  }
  for (const target of targets) {
    const saved = known.find(({ name }) => name === target);
    if (saved !== undefined) wanted.push(remembered(saved, settings));
    else if (target === '-' || isLink(target))
      wanted.push(await byLink(target, [...known, ...wanted.map((one) => one.saved)], { ...options, settings }));
    else throw unknownName(target, known);
  }
  const names = new Set(wanted.map(({ saved }) => saved.name));
  if (names.size < wanted.length) throw new CommandError(EXIT.usage, 'One host is named twice.');
  return wanted;
}

export function unknownName(name: string, known: readonly SavedConnection[]): CommandError {
  const names = known.map((one) => one.name).join(', ');
  const there = names === '' ? 'There is none yet.' : `There are: ${names}.`;
  return new CommandError(EXIT.usage, `No host “${plain(name)}” is remembered on this machine. ${there}`);
}

/** A key is one edge's: the others, which may be somebody else's, must not get to see it. */
function withSafeKey(
  hosts: readonly Pick<SavedConnection, 'edge' | 'key'>[],
  { context, settings }: WantedOptions,
): ConnectSettings {
  const edges = new Set(hosts.map(({ edge }) => edge));
  if (settings.key === undefined || edges.size < 2 || hosts.every(({ key }) => key !== undefined)) return settings;
  context.err(
    `The key of this run (--key-file or ${KEY_VARIABLE}) goes to none of these hosts: they are of several edges. Name those of its edge alone, once; it is remembered then.`,
  );
  return { ...settings, key: undefined };
}

function remembered(before: SavedConnection, { key, tunnel }: ConnectSettings): WantedHost {
  const saved = { ...before };
  // One that was given with the link is the better one: the variable may be for another edge.
  if (saved.key === undefined && key !== undefined) saved.key = key;
  setTunnel(saved, tunnel);
  return { saved, before };
}

async function byLink(
  target: string,
  known: readonly SavedConnection[],
  { context, settings, terminal }: WantedOptions,
): Promise<WantedHost> {
  const link = parseLink(target === '-' ? await terminal.readLine() : target);
  const { edge, hostKey, pairing } = link;
  if (target !== '-' && (link.token !== undefined || pairing !== undefined)) {
    const what = pairing === undefined ? 'token' : 'pairing secret';
    context.err(`The ${what} in the link stood on the command line, where other users of this machine can see it.`);
    if (pairing === undefined) context.err('It is remembered now: next time run direct-agent connect alone.');
  }
  const same = (host: string) => known.find((one) => one.edge === edge && one.host_id === host);
  const named = settings.host ?? link.host;
  const key =
    link.token === undefined
      ? (settings.key ??
        (named === undefined ? undefined : same(named)?.key) ??
        (await askForKey(context, terminal, edge)))
      : checkedKey('The token in the link', link.token);
  const host = named ?? (await onlyHost(context, edge, key));
  if (!isId(host)) throw new CommandError(EXIT.usage, `--host ${plain(host)} is no id of a host.`);
  const before = same(host);
  const saved: SavedConnection = {
    ...before,
    name: nameFor(settings.name ?? before?.name, host, before, known),
    edge,
    host_id: host,
  };
  if (key !== undefined) saved.key = key;
  if (hostKey !== undefined) {
    if (before?.host_key !== undefined && before.host_key !== hostKey) {
      context.err(`${saved.name} has another key than before, and the link says that it is right.`);
    }
    saved.host_key = hostKey;
  }
  setTunnel(saved, settings.tunnel);
  if (pairing !== undefined) saved.device ??= await newDevice();
  return { saved, pairing, before };
}

function setTunnel(saved: SavedConnection, tunnel: boolean | undefined): void {
  if (tunnel === false) saved.tunnel = false;
  else if (tunnel === true) delete saved.tunnel;
}

async function askForKey({ err }: Context, terminal: Terminal, edge: string): Promise<string | undefined> {
  if (!terminal.interactive) return undefined;
  err(`${edge} wants to know who asks. An API key is made on the home machine: direct-agent key create --name laptop`);
  const typed = await terminal.askSecret('API key (is not shown): ');
  return typed === '' ? undefined : checkedKey('What was typed', typed);
}

/** The edge tells its owner which hosts there are. */
async function onlyHost(context: Context, edge: string, token: string | undefined): Promise<string> {
  const missing = (more: string) =>
    new CommandError(
      EXIT.usage,
      `The address names no host. Use the one that direct-agent status prints on the home machine, or add --host <id>.${more}`,
    );
  if (token === undefined) throw missing(` (A key would be read from ${KEY_VARIABLE}.)`);
  const api = new EdgeApi({ edge, token, fetch: context.fetch, signal: context.signal });
  const answer = await api.call('GET', '/hosts').catch((error: unknown) => {
    if (error instanceof CommandError && error.exitCode !== EXIT.refused) throw error;
    throw missing('');
  });
  const hosts = hostList.safeParse(answer.body).data?.hosts ?? [];
  const [first] = hosts;
  if (first !== undefined && hosts.length === 1) return first.id;
  throw missing(hosts.length === 0 ? '' : ` There are: ${hosts.map(({ id }) => id).join(', ')}.`);
}

function nameFor(
  wanted: string | undefined,
  host: string,
  before: SavedConnection | undefined,
  known: readonly SavedConnection[],
): string {
  const isFree = (name: string) => known.every((one) => one === before || one.name !== name);
  if (wanted !== undefined) {
    if (isFree(wanted)) return wanted;
    throw new CommandError(
      EXIT.usage,
      `Another host is called ${wanted}. Choose another --name, or forget that one: direct-agent connect forget ${wanted}`,
    );
  }
  const base = host.replace(/^[^A-Za-z0-9]+/, '').slice(0, 60) || 'host';
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (isFree(name)) return name;
  }
}
