/** What ICE needs of a UDP socket, a share of one, or a relayed address. */
import { createSocket, type Socket } from 'node:dgram';

/** Address without brackets and zone, and port. */
export type Endpoint = readonly [address: string, port: number];

/** It has the shape of werift's UdpTransport, so that its connectivity checks run over any of them. */
export interface DatagramTransport {
  readonly type: 'udp';
  /** Where packets leave from, as this machine or the relay sees it. */
  readonly address: { readonly address: string; readonly port: number; readonly family: 'IPv4' | 'IPv6' };
  readonly addressFamily: 4 | 6;
  readonly host: string;
  readonly port: number;
  readonly closed: boolean;
  /** Set by whoever uses it. */
  onData: (data: Buffer, from: Endpoint) => void;
  /** Never fails: datagrams may be lost. */
  send(data: Buffer, to: Endpoint): Promise<void>;
  close(): Promise<void>;
}

/** The `address` of a DatagramTransport. */
export function addressOf([address, port]: Endpoint, family: 4 | 6): DatagramTransport['address'] {
  return { address, port, family: family === 4 ? 'IPv4' : 'IPv6' };
}

/** As a key of maps, and for the log. */
export function endpointText([address, port]: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** A burst of a fast peer must not be lost while the event loop is busy. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** For addresses that are numbers: Node would ask the resolver for each datagram. Does not keep the process alive. */
export function createUdpSocket(family: 4 | 6, options: { ipv6Only?: boolean } = {}): Socket {
  const lookup = (host: string, _options: unknown, done: (error: null, address: string, family: number) => void) =>
    done(null, host, family);
  return createSocket({ type: family === 4 ? 'udp4' : 'udp6', lookup, ...options }).unref();
}

/** Once it is bound. */
export function enlargeReceiveBuffer(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    // The system's own size does as well.
  }
}
