/**
 * The paths of a client, and which way a request goes now: over the session while it has a path, through the relay at
 * first and directly as soon as that works; over HTTPS where neither is to be had.
 */
import { DirectError } from '../../shared/errors.ts';
import { hostKeyFromText } from '../../shared/host-identity.ts';
import { DIRECT_DEADLINE_MS } from '../../shared/limits.ts';
import type { PathKind } from '../../shared/path.ts';
import type { Session } from '../../shared/session.ts';
import type { IceServer, SessionReady } from '../../shared/signal.ts';
import type { SelectedPair } from './candidate-pair.ts';
import { Device, type DeviceIdentity } from './device.ts';
import type { Diagnostics } from './diagnostics.ts';
import { Direct, type DirectState } from './direct.ts';
import { HostSession } from './host-session.ts';
import { type HostKeyQuestion, HostTrust } from './host-trust.ts';
import { Relay } from './relay.ts';
import { isIdentified, type Signaling } from './signaling.ts';
import { unlessAborted } from './unless-aborted.ts';

/** Which way requests go: `tunnel` is plain HTTPS, `offline` is HTTPS too, with little hope. */
export type ClientPath = PathKind | 'tunnel' | 'offline';

export interface ConnectorEvents {
  /** Of the direct path. */
  state(state: DirectState): void;
  path(path: ClientPath): void;
  /** The key of a host of which none was pinned. */
  hostKey(hostKey: string): void;
  rtt(ms: number): void;
}

export interface ConnectorOptions {
  signaling: Signaling;
  diagnostics: Diagnostics;
  /** The host's id. */
  hostId: string;
  /** See `ConnectOptions`. */
  hostKey: string | undefined;
  confirmHostKey: ((question: HostKeyQuestion) => Promise<boolean>) | undefined;
  /** The edge's origin. */
  edge: string;
  device: 'auto' | DeviceIdentity | undefined;
  pairing: string | undefined;
  deviceName: string | undefined;
  /** False: no direct path. */
  webrtc: boolean;
  /** False: no request goes by the tunnel. */
  tunnel: boolean;
  iceTransportPolicy: RTCIceTransportPolicy;
  iceServers: readonly IceServer[] | undefined;
}

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #events: ConnectorEvents;
  readonly #host: HostSession;
  readonly #trust: HostTrust;
  readonly #direct: Direct;
  readonly #relay: Relay;
  readonly #device: Device;
  readonly #unwatch: () => void;
  #cancelDeadline: () => void = () => {};
  readonly #decided = Promise.withResolvers<void>();
  #waiting: (() => void)[] = [];
  #isStarted = false;
  #isDecided = false;
  /** DIRECT_DEADLINE_MS have passed, without the time that a person took. */
  #isOverdue = false;
  #closed = false;
  /** What the edge could read stays here. */
  #isPaired = false;
  /** The host does not accept this device. */
  #refusal: DirectError | undefined;
  #state: DirectState = 'off';
  #path: ClientPath = 'tunnel';

  constructor(options: ConnectorOptions, events: ConnectorEvents) {
    this.#options = options;
    this.#events = events;
    const { signaling, diagnostics, webrtc, iceTransportPolicy, iceServers } = options;
    const { environment } = signaling;
    this.#trust = new HostTrust(
      { host: options.hostId, hostKey: options.hostKey, confirm: options.confirmHostKey, environment, diagnostics },
      {
        asked: () => this.#changed(),
        pinned: (hostKey) => events.hostKey(hostKey),
        confirmed: () => {
          this.#startDeadline();
          this.#relay.resume();
          this.#direct.resume();
          this.#changed();
        },
        broken: (error) => this.#break(error),
      },
    );
    const trust = this.#trust;
    const { deviceKeys: keys, timer } = environment;
    const device = new Device({ ...options, host: options.hostId, keys, timer });
    this.#device = device;
    const prove = async (sessionId: string, binding: Uint8Array) => {
      // Where a path is attached, its host has proved this key.
      const { hostKey } = trust;
      return hostKey === undefined
        ? undefined
        : device.prove({ hostKey: hostKeyFromText(hostKey), sessionId, binding });
    };
    this.#host = new HostSession(environment, diagnostics, {
      prove: device.isWanted ? prove : undefined,
      accepted: () => device.accepted(),
      refused: (error) => {
        this.#refusal ??= error;
        this.#break(error);
      },
      moved: () => {
        this.#relay.used();
        this.#changed();
      },
      changed: () => {
        this.#relay.replace();
        this.#direct.look();
        this.#changed();
      },
      stranded: () => {
        this.#relay.hurry();
        this.#direct.hurry();
      },
      rtt: (ms) => events.rtt(ms),
    });
    // One signaling session serves both paths at first, and what the edge refuses once it need not be asked twice.
    const admission = Promise.withResolvers<SessionReady | undefined>();
    // Without a relay nobody looks at it.
    admission.promise.catch(() => {});
    const changed = () => {
      // An attempt may fail before it asks the edge.
      if (this.#isStarted && this.#direct.state !== 'connecting') admission.resolve(undefined);
      this.#changed();
    };
    const host = this.#host;
    const sessionId = environment.newId();
    const ids = [sessionId];
    this.#relay = new Relay({
      signaling,
      diagnostics,
      host,
      trust,
      mayTunnel: () => this.#mayTunnel,
      changed: () => this.#relayChanged(),
    });
    this.#direct = new Direct({
      signaling,
      diagnostics,
      host,
      trust,
      iceTransportPolicy,
      iceServers,
      // The first one serves the relay as well.
      sessionId: () => ids.shift() ?? environment.newId(),
      asked: (session) => admission.resolve(session),
      changed,
    });
    this.#startDeadline();
    this.#unwatch = environment.network.watch({
      wake: (reason, isElsewhere) => this.#wake(reason, isElsewhere),
      leave: () => this.#host.close('E_GOING_AWAY'),
    });
    if (!webrtc) diagnostics.log('no direct path, as asked for');
    // Whom the edge does not know it admits to its signaling at most.
    if (isIdentified(signaling)) this.#relay.start({ sessionId, ready: admission.promise });
    if (!webrtc || !this.#direct.start()) admission.resolve(undefined);
    this.#isStarted = true;
    void device.isPaired().then((isPaired) => {
      this.#isPaired = isPaired;
      if (isPaired && !this.#closed) this.#changed();
    });
    this.#changed();
  }

  /** The state of the direct path. */
  get state(): DirectState {
    return this.#state;
  }

  get path(): ClientPath {
    return this.#path;
  }

  /** Why there is no direct path, or without WebRTC no relay; before all, why nothing may go to the host. */
  get error(): DirectError | undefined {
    return this.#stopped ?? this.#trust.inability ?? this.#pathError;
  }

  /** Why no request may go to the host any more, by any way. */
  get #stopped(): DirectError | undefined {
    return this.#trust.error ?? this.#refusal;
  }

  /** Why a request that has no path may not go by HTTPS either, where the edge can read it. */
  async noTunnel(): Promise<DirectError | undefined> {
    const isPaired = await this.#device.isPaired();
    if (this.#stopped !== undefined) return this.#stopped;
    if (this.#options.tunnel && !isPaired) return undefined;
    const why = this.#options.tunnel ? 'a paired device uses no tunnel' : 'no tunnel is wanted';
    return new DirectError('E_PATH_LOST', `no path to the host, and ${why}`, { cause: this.error });
  }

  /** See `Client`. */
  get hostKey(): string | undefined {
    return this.#trust.hostKey;
  }

  get #pathError(): DirectError | undefined {
    return this.#direct.state === 'off' ? this.#relay.error : this.#direct.error;
  }

  /** Round-trip time of the path in use in ms, if there is one and it was measured. */
  get rtt(): number | undefined {
    return this.#host.active?.rtt;
  }

  /** The candidate pair of the direct path, as the browser tells it now. */
  pair(): Promise<SelectedPair | undefined> {
    return this.#direct.pair();
  }

  /** Resolves when requests need not wait: a path is up, or there is none to be had soon. */
  get decided(): Promise<void> {
    return this.#decided.promise;
  }

  /** The session for a new request, or undefined: HTTPS. @throws the signal's reason. */
  async route(signal: AbortSignal | undefined): Promise<Session | undefined> {
    while (this.#host.ready === undefined && this.#hopeful()) {
      await unlessAborted(new Promise<void>((resolve) => this.#waiting.push(resolve)), signal);
    }
    return this.#host.ready;
  }

  /** Ends the session and all attempts. Requests that run on it fail with `E_CANCELLED`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unwatch();
    this.#host.close('E_CANCELLED');
    this.#direct.close();
    this.#relay.close();
    this.#trust.close();
    this.#decide('closed');
  }

  /** Whether a path may come so soon that requests wait for it. */
  #hopeful(): boolean {
    if (this.#closed || this.#stopped !== undefined) return false;
    // Nothing goes to a host by any way before the person has answered.
    if (this.#trust.isAsking) return true;
    if (this.#relay.state === 'connecting' || this.#host.isBetweenPaths) return true;
    // Where there is no relay and no tunnel, the direct path is the only one.
    return !this.#mayTunnel && !this.#isDecided && this.#direct.state === 'connecting';
  }

  /** Whether requests may go by HTTPS: it is wanted, the edge would take them, and may read them. */
  get #mayTunnel(): boolean {
    const { signaling, tunnel } = this.#options;
    return tunnel && !this.#isPaired && isIdentified(signaling);
  }

  /** Somebody lies about the host, the person does not believe it, or the host wants no such device: no path is tried again, the tunnel neither. */
  #break(error: DirectError): void {
    this.#host.close(error.code);
    this.#direct.fail(error);
    this.#relay.fail(error);
    this.#changed();
  }

  #wake(reason: string, isElsewhere: boolean): void {
    this.#options.diagnostics.log(`event: ${reason}`);
    this.#direct.wake(reason, isElsewhere);
    this.#relay.wake();
    this.#changed();
  }

  #startDeadline(): void {
    if (this.#isDecided) return;
    this.#cancelDeadline();
    this.#isOverdue = false;
    this.#cancelDeadline = this.#options.signaling.environment.timer(DIRECT_DEADLINE_MS, () => {
      this.#isOverdue = true;
      this.#changed();
    });
  }

  #decide(why: string): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    this.#cancelDeadline();
    this.#options.diagnostics.log(`requests go by ${this.#path}: ${why}`);
    this.#decided.resolve();
    this.#changed();
  }

  #relayChanged(): void {
    // The direct path may have a minute to wait, and the relay shows that there is somebody to connect to.
    const { error, state } = this.#direct;
    if (this.#relay.state === 'open' && state === 'waiting' && error?.code === 'E_HOST_OFFLINE') {
      this.#direct.wake('the host is back', false);
    }
    this.#changed();
  }

  #changed(): void {
    if (this.#direct.state !== this.#state) {
      this.#state = this.#direct.state;
      this.#events.state(this.#state);
    }
    const path = this.#currentPath();
    if (path !== this.#path) {
      this.#path = path;
      this.#options.diagnostics.log(`path: ${path}`, { type: 'path', path });
      this.#events.path(path);
    }
    if (this.#host.active?.isOpen === true) this.#decide('there is a path');
    else if (this.#isStarted && !this.#hopeful()) this.#decide('no path soon');
    else if (this.#isOverdue && !this.#trust.isAsking) this.#decide('no path in time');
    for (const look of this.#waiting.splice(0)) look();
  }

  #currentPath(): ClientPath {
    const { active } = this.#host;
    if (active !== undefined) return active.kind;
    // The relay's error is the newer one: it is tried more often.
    const { error } = this.#relay.state === 'off' ? this.#direct : this.#relay;
    if (this.#stopped !== undefined) return 'offline';
    const { signaling, tunnel } = this.#options;
    const offline = error?.code === 'E_HOST_OFFLINE' || !signaling.environment.network.online();
    return offline || !tunnel || this.#isPaired ? 'offline' : 'tunnel';
  }
}
