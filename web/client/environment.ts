/** What the client takes from its runtime. Everything has a default; tests and Node programs replace what they need. */
import { newId } from '../../shared/new-id.ts';
import type { SessionEnvironment } from '../../shared/path-link.ts';
import { sealingIsSupported } from '../../shared/sealing-support.ts';
import { type DeviceKeyStore, memoryDeviceKeys, storedDeviceKeys } from './device-key.ts';
import { globalNetwork, type Network } from './network.ts';
import { type Cookies, documentCookies } from './web-ui.ts';
import type { PeerConnectionClass } from './webrtc.ts';

export interface ClientEnvironment extends SessionEnvironment {
  /** Plain HTTPS: signaling, and requests when the session has no path. */
  fetch(request: Request): Promise<Response>;
  /** Absent where WebRTC is: everything goes through the edge then. In Node, pass werift’s. */
  RTCPeerConnection: PeerConnectionClass | undefined;
  /** Absent: signaling polls, and there is no relay. */
  WebSocket: (new (url: string, protocols?: string[]) => WebSocket) | undefined;
  network: Network;
  /** Milliseconds since 1970: the host's keys expire. */
  wallClock(): number;
  /** Whether WebCrypto can check what a host signs, and seal for it; without it requests go through the edge only. */
  canSeal(): Promise<boolean>;
  /** Where the keys of this device are: in the browser’s database, elsewhere in memory. */
  deviceKeys: DeviceKeyStore;
  /** See shared/new-id.ts. */
  newId(): string;
  /** From 0 to 1, exclusive; for jitter. */
  random(): number;
  /** Those that a page shares with its host's web UI; undefined where there is no document. */
  cookies: Cookies | undefined;
  /** What relative URLs refer to; undefined where there is no document. */
  baseUrl(): string | undefined;
  /**
   * True in browsers, which keep `Set-Cookie` and the targets of manual redirects from scripts (Fetch, sections
   * 4.6 and 2.2.6). Programs on Node expect to see both.
   */
  browser: boolean;
}

/** One for all clients of the program. */
const inMemory = memoryDeviceKeys();

function globalTimer(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** The runtime’s own, with `given` in place of its parts. `fetch` is the one of this moment, before any patch. */
export function completeEnvironment(given: Partial<ClientEnvironment> = {}): ClientEnvironment {
  const platformFetch = globalThis.fetch;
  return {
    fetch: (request) => platformFetch.call(globalThis, request),
    RTCPeerConnection: globalThis.RTCPeerConnection,
    WebSocket: globalThis.WebSocket,
    network: globalNetwork(),
    wallClock: () => Date.now(),
    canSeal: sealingIsSupported,
    deviceKeys: globalThis.indexedDB === undefined ? inMemory : storedDeviceKeys(globalThis.indexedDB),
    newId,
    random: () => Math.random(),
    cookies: documentCookies(),
    baseUrl: () => globalThis.document?.baseURI ?? globalThis.location?.href,
    browser: globalThis.location !== undefined,
    now: () => performance.now(),
    timer: globalTimer,
    defer: (run) => queueMicrotask(run),
    ...given,
  };
}
