/** One host, as `connect` keeps it: its client, what a person is asked, and what is told of it. */
import type { Client, ConnectOptions } from '#client';
import { HINTS } from '../../shared/error-hints.ts';
import type { DirectError, ErrorCode } from '../../shared/errors.ts';
import { isPathKind } from '../../shared/path.ts';
import { failureOf } from './host-client.ts';
import type { SavedConnection } from './laptop-store.ts';

export interface HostState {
  path: Client['path'];
  /** Milliseconds, if it was measured. */
  rtt: number | undefined;
  /** Why the host is not reached, or not by a better path. */
  error: DirectError | undefined;
  /** The edge has let this machine in, so its address and the key are right, whichever way requests go. */
  admitted: boolean;
}

export interface HostConnectionOptions {
  saved: SavedConnection;
  open(options: ConnectOptions): Client;
  options: Omit<ConnectOptions, 'url' | 'host' | 'token' | 'hostKey' | 'tunnel'>;
  timer(ms: number, run: () => void): () => void;
  /** Paths change in bursts: what has lasted for a moment. */
  changed(state: HostState): void;
  /** A key was believed: to be remembered. */
  pinned(hostKey: string): void;
  /** Only a person can change it. Called once. */
  refused(error: DirectError): void;
}

/** Answers of edge and host that stay the same until somebody changes something. */
const FINAL: readonly ErrorCode[] = ['E_UNAUTHORIZED', 'E_NOT_CONFIGURED', 'E_NOT_FOUND', 'E_VERSION'];
/** The host is not who it should be, or does not want this machine: nothing goes to it any more. */
const BROKEN: readonly ErrorCode[] = [
  'E_HOST_KEY',
  'E_HOST_KEY_CHANGED',
  'E_HOST_KEY_UNCONFIRMED',
  'E_DEVICE_UNKNOWN',
  'E_PAIRING',
];

/** From one path to the next there may be a moment without any, and a round trip is measured soon. */
const SETTLE_MS = 1_000;

/** What an edge says of the host to those whom it lets in. */
const OF_THE_HOST: readonly ErrorCode[] = ['E_HOST_OFFLINE', 'E_HOST_BUSY'];

export class HostConnection {
  readonly saved: SavedConnection;
  readonly client: Client;
  readonly #options: HostConnectionOptions;
  readonly #unsubscribe: (() => void)[];
  #cancelSettling: (() => void) | undefined;
  #refusal: DirectError | undefined;
  #told = '';
  #admitted = false;
  readonly #answered = Promise.withResolvers<void>();

  constructor(options: HostConnectionOptions) {
    const { saved, open } = options;
    this.#options = options;
    this.saved = saved;
    this.client = open({
      ...options.options,
      url: saved.edge,
      host: saved.host_id,
      ...(saved.key !== undefined && { token: saved.key }),
      ...(saved.host_key !== undefined && { hostKey: saved.host_key }),
      ...(saved.tunnel === false && { tunnel: false }),
    });
    const look = () => this.#look();
    this.#unsubscribe = [
      this.client.on('path', look),
      this.client.on('state', look),
      this.client.on('hostKey', (hostKey) => options.pinned(hostKey)),
      this.client.on('report', () => void this.#hear()),
    ];
  }

  get state(): HostState {
    const { path, rtt } = this.client;
    const error = this.client.error && failureOf(this.client.error);
    const isKnown = error !== undefined && OF_THE_HOST.includes(error.code);
    return { path, rtt, error, admitted: this.#admitted || isPathKind(path) || isKnown };
  }

  /** Why nothing goes to the host until a person has done something. */
  get refusal(): DirectError | undefined {
    if (this.#refusal !== undefined) return this.#refusal;
    const { path, error } = this.state;
    if (error === undefined || isPathKind(path)) return undefined;
    const isFinal = FINAL.includes(error.code) || (path === 'offline' && BROKEN.includes(error.code));
    return isFinal ? error : undefined;
  }

  /**
   * Resolves when requests need not wait any longer, and it is known whether the edge lets this machine in, or why that
   * is not known; `changed` or `refused` has been called then.
   */
  async ready(): Promise<void> {
    await this.client.ready;
    this.#lookForAnswer();
    await this.#answered.promise;
    if (!this.#tellRefusal()) this.#tell();
  }

  /** What happens from now on is the end of the program, and no news. */
  stopTelling(): void {
    this.#cancelSettling?.();
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
  }

  close(): void {
    this.stopTelling();
    this.client.close();
  }

  /** The client has more to report: perhaps that the edge has answered for the first time. */
  async #hear(): Promise<void> {
    if (this.#admitted) return;
    const { ice } = await this.client.report();
    if (ice === undefined || this.#admitted) return;
    this.#admitted = true;
    this.#look();
  }

  #lookForAnswer(): void {
    const { admitted, error } = this.state;
    this.#admitted = admitted;
    if (admitted || error !== undefined || this.client.state === 'off') this.#answered.resolve();
  }

  #look(): void {
    this.#lookForAnswer();
    if (this.#tellRefusal()) return;
    this.#cancelSettling?.();
    this.#cancelSettling = this.#options.timer(SETTLE_MS, () => this.#tell());
  }

  #tellRefusal(): boolean {
    if (this.#refusal !== undefined) return true;
    const error = this.refusal;
    if (error === undefined) return false;
    this.#refusal = error;
    this.#cancelSettling?.();
    this.#options.refused(error);
    return true;
  }

  #tell(): void {
    const { state } = this;
    const key = `${state.path} ${state.admitted} ${state.path === 'offline' ? state.error?.code : ''}`;
    if (key === this.#told) return;
    this.#told = key;
    this.#options.changed(state);
  }
}

/** What a person does about an error, on this machine. */
export function hintOf({ code }: DirectError, name: string): string {
  switch (code) {
    case 'E_UNAUTHORIZED':
      return `Make a key on the home machine, direct-agent key create --name laptop, and give it with the link: DIRECT_KEY=dak_… direct-agent connect 'https://…'`;
    case 'E_DEVICE_UNKNOWN':
      return `On the home machine run direct-agent pair, and give its link to: direct-agent connect`;
    case 'E_NOT_FOUND':
      return `Check the address of the edge, and the id of the host; direct-agent connect forget ${name} forgets it.`;
    default:
      return HINTS[code];
  }
}
