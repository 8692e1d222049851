/** `direct-agent connect`: hosts as ports of this machine, for every program that speaks to an LLM server. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ConnectOptions, HostKeyQuestion } from '#client';
import type { DirectError } from '../../shared/errors.ts';
import { isPathKind } from '../../shared/path.ts';
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import { folderOf } from '../config.ts';
import { ConnectDisplay } from '../connect/connect-display.ts';
import { type ConnectSettings, connectSettings, DEFAULT_PORT } from '../connect/connect-settings.ts';
import { type Destination, oneHost } from '../connect/host-client.ts';
import { HostConnection, type HostState } from '../connect/host-connection.ts';
import { laptopNetwork } from '../connect/laptop-network.ts';
import { deviceKeys, LaptopStore, type SavedConnection } from '../connect/laptop-store.ts';
import { LocalServer } from '../connect/local-server.ts';
import { MergedHosts } from '../connect/merged-hosts.ts';
import { patientFetch } from '../connect/patient-fetch.ts';
import { processTerminal, type Terminal } from '../connect/terminal.ts';
import { unknownName, type WantedHost, wantedHosts } from '../connect/wanted-hosts.ts';
import { isLoopback } from '../edge-address.ts';
import { aborted } from '../pause.ts';
import { nodeEnvironment } from '../runtime.ts';
import { type Context, type Flags, table } from './context.ts';

/** What tests replace. */
export interface ConnectParts {
  terminal: Terminal;
  /** Opens a client; by default the npm client, which is loaded for it. */
  openClient: (options: ConnectOptions) => Client;
}

/** From the default or remembered port on; more hosts and Ollamas than this no laptop has. */
const PORT_TRIES = 50;
/** With `--verbose`: the host and the edge have their words in it. */
const MAX_LINE = 1_000;
/** What the sessions say at the end has left the machine by then. */
const GOODBYE_MS = 300;

/** Runs until Ctrl+C. @throws CommandError */
export async function connect(
  context: Context,
  targets: readonly string[],
  flags: Flags,
  parts: Partial<ConnectParts> = {},
): Promise<ExitCode> {
  const settings = connectSettings(context, flags);
  const store = new LaptopStore(folderOf({ flags, env: context.env }));
  const terminal = parts.terminal ?? processTerminal();
  const wanted = await wantedHosts(targets, { context, settings, store, terminal });
  const openClient = parts.openClient ?? (await import('#client')).connect;
  const run = new Run({ context, settings, store, terminal, openClient });
  return run.toItsEnd(wanted);
}

/** @throws CommandError */
export function listConnections(context: Context, flags: Flags): ExitCode {
  const all = new LaptopStore(folderOf({ flags, env: context.env })).connections();
  if (flags.json === true) {
    const shown = all.map(({ name, edge, host_id, host_key, key, device, port }) => ({
      name,
      edge,
      host_id,
      host_key: host_key ?? null,
      has_key: key !== undefined,
      is_paired: device !== undefined,
      port: port ?? null,
    }));
    context.out(JSON.stringify({ connections: shown }, null, 2));
    return EXIT.ok;
  }
  if (all.length === 0) context.err("No host is remembered. Add one with: direct-agent connect 'https://…'");
  else {
    const rows = all.map(({ name, host_id, port, edge }) => [name, host_id, String(port ?? ''), edge]);
    for (const line of table(['NAME', 'HOST', 'PORT', 'EDGE'], rows)) context.out(line);
  }
  return EXIT.ok;
}

/** @throws CommandError */
export async function forgetConnection(context: Context, name: string, flags: Flags): Promise<ExitCode> {
  const store = new LaptopStore(folderOf({ flags, env: context.env }));
  const saved = store.connections().find((one) => one.name === name);
  if (saved === undefined || !(await store.forget(name))) throw unknownName(name, store.connections());
  context.err(`${name} is forgotten on this machine.`);
  if (saved.key !== undefined)
    context.err('Its key is still good; end it on the home machine: direct-agent key revoke');
  if (saved.device !== undefined) context.err('It is still paired; end that there: direct-agent device remove');
  return EXIT.ok;
}

interface RunOptions extends ConnectParts {
  context: Context;
  settings: ConnectSettings;
  store: LaptopStore;
}

class Run {
  readonly #options: RunOptions;
  readonly #display: ConnectDisplay;
  readonly #connections: HostConnection[] = [];
  readonly #servers: LocalServer[] = [];
  readonly #fetch = patientFetch();
  /** New ones that were not reached yet. */
  readonly #unproven = new Map<string, SavedConnection>();
  readonly #refused = new Map<string, DirectError>();
  /** Someone lies about a host, or all are refused. */
  readonly #over = Promise.withResolvers<void>();
  /** Those with which there was a session. */
  readonly #reached = new Set<string>();
  /** Ctrl+C in place of an answer. */
  #interruption: unknown;
  /** One person answers one question at a time. */
  #question: Promise<unknown> = Promise.resolve();

  constructor(options: RunOptions) {
    this.#options = options;
    this.#display = new ConnectDisplay(options.context, options.settings.json);
  }

  async toItsEnd(wanted: readonly WantedHost[]): Promise<ExitCode> {
    const { signal } = this.#options.context;
    const end = Promise.race([aborted(signal), this.#over.promise]);
    try {
      for (const one of wanted) this.#connections.push(await this.#open(one));
      const listening = await this.#listen(wanted);
      const ready = Promise.all(this.#connections.map((connection) => connection.ready()));
      await Promise.race([ready, end]);
      if (!signal.aborted) await this.#remember(wanted);
      // A port of which every host is refused is of no use to programs.
      const useful = listening.filter(({ names }) => names.some((name) => !this.#refused.has(name)));
      if (!signal.aborted && !this.#isOver) for (const one of useful) this.#display.listening(one);
      await end;
    } finally {
      for (const connection of this.#connections) connection.stopTelling();
      // First the programs, so that the hosts hear that nobody waits; then the sessions.
      await Promise.all(this.#servers.map((server) => server.close()));
      for (const connection of this.#connections) connection.close();
      if (this.#connections.length > 0) await delay(GOODBYE_MS);
      await this.#fetch.close();
    }
    await this.#forgetVain(wanted);
    if (this.#interruption !== undefined) throw this.#interruption;
    return this.#isOver ? EXIT.refused : EXIT.ok;
  }

  /** The key of this machine that was made for a pairing link, and no host has got to know. */
  async #forgetVain(wanted: readonly WantedHost[]): Promise<void> {
    for (const { pairing, saved, before } of wanted) {
      if (pairing === undefined || !this.#refused.has(saved.name) || this.#reached.has(saved.name)) continue;
      if (before === undefined) await this.#options.store.forget(saved.name);
      else await this.#options.store.save(before);
    }
  }

  get #isOver(): boolean {
    const errors = [...this.#refused.values()];
    return errors.some(isLie) || (errors.length > 0 && errors.length === this.#connections.length);
  }

  async #open({ saved, pairing }: WantedHost): Promise<HostConnection> {
    const { context, openClient, settings, store } = this.#options;
    const device = await deviceKeys(saved);
    // Before the host learns of it: the link is good once.
    if (pairing !== undefined) await store.save(saved);
    const network = laptopNetwork({
      interfaces: () => context.interfaces(),
      now: () => Date.now(),
      every: (ms, look) => {
        const timer = setInterval(look, ms);
        return () => clearInterval(timer);
      },
      isLocal: isLoopback(new URL(saved.edge).hostname),
    });
    const { name } = saved;
    return new HostConnection({
      saved,
      open: openClient,
      options: {
        confirmHostKey: (question) => this.#confirm(name, question),
        deviceName: context.hostname(),
        environment: { network, fetch: this.#fetch.fetch },
        ...(device !== undefined && { device }),
        ...(pairing !== undefined && { pairing }),
        ...(settings.verbose && {
          diagnostics: (line: string) => this.#display.note(`${name}: ${plain(line, MAX_LINE)}`),
        }),
      },
      timer: nodeEnvironment.timer,
      changed: (state) => this.#changed(name, state),
      pinned: (hostKey) => {
        saved.host_key = hostKey;
        const isKnown = store.connections().some((one) => one.name === name);
        if (isKnown) store.save(saved).catch((error: unknown) => this.#display.note(String(error)));
      },
      refused: (error) => {
        this.#refused.set(name, error);
        if (this.#interruption === undefined) this.#display.refused(name, error);
        if (this.#isOver) this.#over.resolve();
      },
    });
  }

  /** As SSH does: a person compares, once. */
  async #confirm(name: string, { fingerprint }: HostKeyQuestion): Promise<boolean> {
    const { settings, terminal } = this.#options;
    const asked = this.#question.then(async () => {
      this.#display.note(`The key of ${name} is not known on this machine. Its fingerprint is`);
      this.#display.note(`  ${fingerprint}`);
      if (settings.trustFirst) {
        this.#display.note('It is believed from now on (--trust-first).');
        return true;
      }
      if (!terminal.interactive) {
        this.#display.note('Nobody is here to compare it with that of direct-agent status on the home machine.');
        this.#display.note('Give the link that status prints, which has the key in it, or add --trust-first.');
        return false;
      }
      const answer = await terminal.ask('Is it the one that direct-agent status shows on the home machine? [y/N] ');
      return /^y(es)?$/i.test(answer);
    });
    this.#question = asked.catch((error: unknown) => {
      this.#interruption ??= error;
      this.#over.resolve();
    });
    return asked;
  }

  /** What works, in the order of the command line, which is that of precedence. */
  async #remember(wanted: readonly WantedHost[]): Promise<void> {
    const { store } = this.#options;
    for (const { saved, before } of wanted) {
      const { name } = saved;
      const state = this.#connections.find((one) => one.saved === saved)?.state;
      if (this.#refused.has(name) || state === undefined) continue;
      // The address may be mistyped.
      if (before === undefined && !state.admitted) {
        this.#unproven.set(name, saved);
        this.#display.note(`${name} is remembered when it is reached for the first time.`);
      } else if (JSON.stringify(saved) !== JSON.stringify(before)) await store.save(saved);
    }
  }

  #changed(name: string, state: HostState): void {
    this.#display.state(name, state);
    if (isPathKind(state.path)) this.#reached.add(name);
    const saved = this.#unproven.get(name);
    if (saved === undefined || !state.admitted) return;
    this.#unproven.delete(name);
    this.#options.store.save(saved).catch((error: unknown) => this.#display.note(String(error)));
  }

  async #listen(wanted: readonly WantedHost[]): Promise<{ names: string[]; url: string }[]> {
    const { settings } = this.#options;
    const names = wanted.map(({ saved }) => saved.name);
    if (settings.merge) {
      const hosts = this.#connections.map(({ saved, client }) => ({ name: saved.name, client }));
      const merged = new MergedHosts({ hosts, now: () => performance.now() });
      return [{ names, url: await this.#listenAt(settings.port, DEFAULT_PORT, names.join(' and '), merged) }];
    }
    const listening: { names: string[]; url: string }[] = [];
    for (const [index, { saved, client }] of this.#connections.entries()) {
      const exact = index === 0 ? settings.port : undefined;
      const first = index > 0 && settings.port !== undefined && settings.port > 0 ? settings.port + index : undefined;
      const from = settings.port === 0 ? 0 : (first ?? saved.port ?? this.#freshPort(saved));
      const url = await this.#listenAt(exact, from, saved.name, oneHost(client));
      const { port } = this.#servers.at(-1) ?? {};
      // One that was taken for another's sake is not what programs should be set to.
      if (port !== undefined && settings.port !== 0 && port === (exact ?? from)) saved.port = port;
      listening.push({ names: [saved.name], url });
    }
    return listening;
  }

  /** The first one that no other host has. */
  #freshPort(saved: SavedConnection): number {
    const others = [...this.#options.store.connections(), ...this.#connections.map((one) => one.saved)];
    const taken = others.filter(({ name }) => name !== saved.name).map(({ port }) => port);
    let port = DEFAULT_PORT;
    while (taken.includes(port)) port += 1;
    return port;
  }

  /** @param exact this one or none. @throws CommandError */
  async #listenAt(exact: number | undefined, from: number, name: string, destination: Destination): Promise<string> {
    const { address, rules } = this.#options.settings;
    const wanted = exact ?? from;
    const tries = exact === undefined ? PORT_TRIES : 1;
    let server: LocalServer;
    try {
      server = await LocalServer.listen({ address, port: wanted, tries, rules, destination });
    } catch (error) {
      throw listenError(error, address, wanted, tries);
    }
    this.#servers.push(server);
    const { port } = server;
    if (wanted !== 0 && port !== wanted) {
      const who = wanted === DEFAULT_PORT ? ' (a local Ollama has it by default)' : '';
      this.#display.note(`Port ${wanted} is in use by another program${who}: ${name} is at port ${port}.`);
    }
    if (rules.remote)
      this.#display.note(`Every machine that reaches ${address}:${port} can use ${name}, without a key.`);
    const shown =
      { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address] ?? (address.includes(':') ? `[${address}]` : address);
    return `http://${shown}:${port}`;
  }
}

function isLie({ code }: DirectError): boolean {
  return code === 'E_HOST_KEY' || code === 'E_HOST_KEY_CHANGED';
}

function listenError(error: unknown, address: string, port: number, tries: number): Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return new CommandError(
        EXIT.tryAgain,
        tries === 1
          ? `Port ${port} of ${address} is in use by another program. End that, or choose another one; --port 0 takes any free one.`
          : `The ports ${port} to ${port + tries - 1} of ${address} are in use. Choose one with --port; 0 takes any free one.`,
      );
    case 'EACCES':
      return new CommandError(EXIT.usage, `Port ${port} needs rights that you do not have. Choose one above 1023.`);
    case 'EADDRNOTAVAIL':
      return new CommandError(EXIT.usage, `This machine has no address ${address}. Give one of its own to --listen.`);
    default:
      return error instanceof Error ? error : new Error(String(error));
  }
}
