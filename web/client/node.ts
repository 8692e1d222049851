/** The client for programs on Node, which has no WebRTC of its own: by werift. Its WebSocket and fetch are Node's. */
import { RTCPeerConnection } from 'werift';
import { type Client, type ConnectOptions, connect as connectAnywhere } from './connect.ts';

export * from './index.ts';

/**
 * Connects to a host, in the background: requests may be made at once. `close` the client when it is not needed any
 * more; the program does not end before.
 * @throws TypeError when the URL is no http or https URL or names no host, `hostKey` is no key, `pairing` no
 * secret, or `iceServers` has what is no server.
 */
export function connect(options: ConnectOptions): Client {
  return connectAnywhere({ ...options, environment: { RTCPeerConnection, ...options.environment } });
}
