/** The client's front door. */

import type { DirectError } from '../../shared/errors.ts';
import { PROTOCOL_VERSION } from '../../shared/limits.ts';
import { type ClientPath, Connector } from './connector.ts';
import type { DeviceIdentity } from './device.ts';
import { addressFlags, createDiagnostics, type LogLine } from './diagnostics.ts';
import type { DirectState } from './direct.ts';
import { type ClientEnvironment, completeEnvironment } from './environment.ts';
import { createFetch, type FetchOptions } from './fetch.ts';
import { createHeld, type Held } from './held.ts';
import type { HostKeyQuestion } from './host-trust.ts';
import { checkedIceServers } from './ice-servers.ts';
import { Listeners } from './listeners.ts';
import type { ConnectionReport } from './report.ts';
import { hostId, signalingBase } from './signaling.ts';
import { type SocketRequest, socketClass, type WebSocketClass } from './socket.ts';
import type { SocketLink } from './socket-link.ts';

export interface ConnectOptions {
  /** The signaling base `https://edge/_direct/h/{host id}`, or the edge if `host` is given. */
  url: string | URL;
  /** The host's id. */
  host?: string;
  /** The owner's token for the edge. */
  token?: string;
  /** `cookie`: in place of a token, the cookie of who is signed in at the edge; for pages that the edge serves. */
  credentials?: 'cookie';
  /**
   * The host's key, base64url, known from outside the edge: from the fragment of the agent's link, or kept from an
   * earlier visit. A host that does not prove it is not used, on any way: `E_HOST_KEY_CHANGED`. In a runtime without
   * Ed25519 (Chromium before 137) nothing can prove it: there `client.hostKey` stays undefined, `client.error` says so,
   * and requests go through the edge, which can read them.
   */
  hostKey?: string;
  /**
   * Asks a person about a key that this device does not know; once for each client, and only without `hostKey`.
   * Requests wait for the answer. False, or a rejection: `E_HOST_KEY_UNCONFIRMED`, and nothing goes to the host.
   *
   * Without `hostKey` and `confirmHostKey` the first key that proves itself is believed for the client's life (“trust
   * on first use”): an edge that lies from the beginning is not noticed.
   */
  confirmHostKey?: (question: HostKeyQuestion) => Promise<boolean>;
  /**
   * What this device proves to a host that accepts paired devices only. `auto`: a key of its own for each edge and host,
   * which the browser keeps and no script can read; in Node it lasts as long as the program. It is made with `pairing`
   * and shown to the host from then on. Or an Ed25519 key pair of WebCrypto, which is always shown. A device that has a
   * key sends nothing through the tunnel, which the edge can read: without a path its requests fail.
   */
  device?: 'auto' | DeviceIdentity;
  /** The secret of a pairing link, from its fragment: this device becomes one of the host’s, once. */
  pairing?: string;
  /** What the host’s owner reads in the list of devices, when it is paired. */
  deviceName?: string;
  /** `web_ui`: requests are for the host's web UI and not for its models, and the page's cookies go with them. */
  service?: 'web_ui';
  /** Requests to this origin are for the host; the edge's own unless told otherwise. */
  origin?: string;
  /** False: no direct path; requests go through the edge. */
  webrtc?: boolean;
  /**
   * False: no request goes over plain HTTPS, where the edge could read it. While there is no path that is encrypted to
   * the host, requests fail with `E_PATH_LOST`.
   */
  tunnel?: boolean;
  /** `relay`: only through a TURN server. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  /**
   * STUN and TURN servers, in place of those that the edge names. The host uses them as well if the owner is who asks;
   * other people's servers it does not open connections to. An empty list names none.
   */
  iceServers?: readonly RTCIceServer[];
  /** Logs the connection's life, to the console or to a function. */
  diagnostics?: boolean | LogLine;
  /** Parts of the runtime to use in place of its own; in Node, werift's `RTCPeerConnection`. */
  environment?: Partial<ClientEnvironment>;
}

export interface ClientEvents {
  path: ClientPath;
  /** Of the direct path. */
  state: DirectState;
  /** Milliseconds. */
  rtt: number;
  /** A key was believed that was not given as `hostKey`: keep it and give it the next time. */
  hostKey: string;
  /** There is more in `client.report()`; often many times in a row. */
  report: undefined;
}

export interface Client extends Held {
  /**
   * The standard's class: `new client.WebSocket('/v1/realtime')`. A socket goes over the session if there is one when
   * it begins, and follows it from path to path; else it goes through the edge, where a browser can show its cookie only,
   * and no token.
   */
  readonly WebSocket: WebSocketClass;
  /**
   * The same without the standard's class, for programs that pass messages on: here the sender waits until they are
   * taken, and a refusal says why.
   * @throws DirectError, Error, the signal's reason
   */
  dial(request: SocketRequest): Promise<SocketLink>;
  /** Requests to this origin go to the host. */
  readonly origin: string;
  /** Which way a request would go now. */
  readonly path: ClientPath;
  /** Of the direct path. */
  readonly state: DirectState;
  /** Round-trip time of the path in use in ms, if known. */
  readonly rtt: number | undefined;
  /** The key that the host has to prove on every path, base64url; undefined as long as none is pinned. */
  readonly hostKey: string | undefined;
  /**
   * Why there is no direct path, if an attempt failed or a path was lost; without WebRTC, why there is no relay. With
   * `E_HOST_KEY`, `E_HOST_KEY_CHANGED` or `E_HOST_KEY_UNCONFIRMED` and `path` “offline”, the host is not who it should
   * be, and every request fails with that code. So it is with `E_DEVICE_UNKNOWN` and `E_PAIRING`, where the host does
   * not accept this device.
   */
  readonly error: DirectError | undefined;
  /** Resolves with the path when requests need not wait for one any longer; never rejects. */
  readonly ready: Promise<ClientPath>;
  /** What the connection went through so far. Holds no secrets, but the addresses of both ends. */
  report(): Promise<ConnectionReport>;
  /** Calls `listener` at every change, until the returned function is called. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (value: ClientEvents[Name]) => void): () => void;
  /** Ends the session. Requests on it fail with `E_CANCELLED`; later ones go over HTTPS, but fail on a paired device. */
  close(): void;
}

/**
 * Connects to a host, in the background: requests may be made at once.
 * @throws TypeError when the URL is no http or https URL or names no host, `hostKey` is no key, `pairing` no
 * secret, or `iceServers` has what is no server.
 */
export function connect(options: ConnectOptions): Client {
  const environment = completeEnvironment(options.environment);
  const base = signalingBase(options.url, options.host);
  const flags = addressFlags(globalThis.location?.href);
  const { token } = options;
  const iceServers = checkedIceServers(options.iceServers);
  const cookie = options.credentials === 'cookie';
  const listeners = new Listeners<ClientEvents>();
  const startedAt = environment.wallClock();
  const diagnostics = createDiagnostics(
    () => environment.now(),
    options.diagnostics ?? flags.diagnostics,
    () => listeners.tell('report', undefined),
  );
  const webrtc = options.webrtc ?? flags.webrtc ?? true;
  const iceTransportPolicy = options.iceTransportPolicy ?? flags.iceTransportPolicy ?? 'all';
  const connector = new Connector(
    {
      signaling: { base: base.href, token, cookie, environment },
      diagnostics,
      hostId: hostId(base),
      hostKey: options.hostKey,
      confirmHostKey: options.confirmHostKey,
      edge: base.origin,
      device: options.device,
      pairing: options.pairing,
      deviceName: options.deviceName,
      webrtc,
      tunnel: options.tunnel ?? true,
      iceTransportPolicy,
      iceServers,
    },
    {
      path: (path) => listeners.tell('path', path),
      state: (state) => listeners.tell('state', state),
      rtt: (ms) => listeners.tell('rtt', ms),
      hostKey: (hostKey) => listeners.tell('hostKey', hostKey),
    },
  );
  const origin = options.origin ?? base.origin;
  const requests: FetchOptions = {
    origin,
    host: hostId(base),
    token,
    cookie,
    edgeOrigin: base.origin,
    environment,
    diagnostics,
    route: (signal) => connector.route(signal),
    noTunnel: () => connector.noTunnel(),
    service: options.service,
  };
  const dial = async (request: SocketRequest) => (await environment.sessionParts()).dial(requests, request);
  return {
    ...createHeld(createFetch(requests), origin),
    dial,
    WebSocket: socketClass({
      dial,
      baseUrl: () => environment.baseUrl() ?? origin,
    }),
    origin,
    get path() {
      return connector.path;
    },
    get state() {
      return connector.state;
    },
    get rtt() {
      return connector.rtt;
    },
    get hostKey() {
      return connector.hostKey;
    },
    get error() {
      return connector.error;
    },
    ready: connector.decided.then(() => connector.path),
    report: async () => {
      const pair = await connector.pair();
      const { path, state, rtt, error } = connector;
      return {
        startedAt,
        at: diagnostics.elapsed,
        protocolVersion: PROTOCOL_VERSION,
        path,
        state,
        rtt,
        error: error && { code: error.code, message: error.message },
        webrtc,
        iceTransportPolicy,
        pair,
        ...diagnostics.kept,
      };
    },
    on: (name, listener) => listeners.add(name, listener),
    close: () => connector.close(),
  };
}
