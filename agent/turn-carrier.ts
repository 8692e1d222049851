/** How messages get to a TURN server: UDP, TCP or TLS (RFC 8656, section 3.1). */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, getCACertificates } from 'node:tls';
import { createUdpSocket, type Endpoint, enlargeReceiveBuffer } from './datagram.ts';
import type { TurnTransport } from './ice-urls.ts';

/** Carries whole messages: STUN and ChannelData. */
export interface TurnCarrier {
  /** A stream neither loses nor repeats messages. */
  readonly reliable: boolean;
  message: (bytes: Buffer) => void;
  closed: (reason: string) => void;
  send(bytes: Buffer): void;
  close(): void;
}

export interface CarrierOptions {
  readonly transport: TurnTransport;
  readonly server: Endpoint;
  /** The URL's host, which the certificate has to be for. */
  readonly host: string;
  /** Local address to use; undefined: the system's choice. */
  readonly localAddress: string | undefined;
  /** Certificate authorities besides those that Node trusts (NODE_EXTRA_CA_CERTS among them). */
  readonly extraCa: readonly string[];
  readonly signal: AbortSignal;
}

/** What waits beyond this in a stream is dropped, as a router drops: ICE and SCTP are made for loss, not for delay. */
const MAX_WAITING_BYTES = 512 * 1024;
/** A round trip or two for the last bytes. */
const LINGER_MS = 1_000;
/** A STUN message or ChannelData with its header; a server that announces more is broken. */
const MAX_MESSAGE_BYTES = 65_535 + 20 + 3;

/** @throws Error when it cannot be connected, or `signal` aborts. */
export function openCarrier(options: CarrierOptions): Promise<TurnCarrier> {
  return options.transport === 'udp' ? openUdp(options) : openStream(options);
}

async function openUdp({ server: [address, port], localAddress, signal }: CarrierOptions): Promise<TurnCarrier> {
  const socket = createUdpSocket(isIP(address) === 6 ? 6 : 4);
  let open = true;
  const carrier: TurnCarrier = {
    reliable: false,
    message: () => {},
    closed: () => {},
    send: (bytes) => {
      if (open) socket.send(bytes, () => {});
    },
    close: () => {
      if (open) socket.close();
      open = false;
    },
  };
  try {
    await new Promise<void>((resolve, reject) => {
      signal.throwIfAborted();
      socket.once('error', reject);
      // Connected, it takes datagrams from the server only.
      socket.bind({ port: 0, ...(localAddress === undefined ? {} : { address: localAddress }) }, () => {
        // Node gives the reason to the callback alone; its type does not say so.
        socket.connect(port, address, (error?: Error | null) => (error ? reject(error) : resolve()));
      });
    });
  } catch (error) {
    carrier.close();
    throw error;
  }
  socket.removeAllListeners('error');
  enlargeReceiveBuffer(socket);
  socket.on('message', (bytes) => carrier.message(bytes));
  // ICMP says that nobody listens there (any more).
  socket.on('error', (error) => {
    carrier.close();
    carrier.closed(error.message);
  });
  return carrier;
}

async function openStream(options: CarrierOptions): Promise<TurnCarrier> {
  const { signal } = options;
  signal.throwIfAborted();
  const { socket, connected } = dial(options);
  await new Promise<void>((resolve, reject) => {
    const fail = (error: unknown) => {
      socket.destroy();
      reject(error);
    };
    const abort = () => fail(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    // Also kept when it is connected: without a listener an error would end the process.
    socket.on('error', fail);
    socket.once('close', () => {
      signal.removeEventListener('abort', abort);
      reject(new Error('closed by the TURN server'));
    });
    socket.once(connected, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
  const carrier: TurnCarrier = {
    reliable: true,
    message: () => {},
    closed: () => {},
    send: (bytes) => {
      if (socket.destroyed || socket.writableLength > MAX_WAITING_BYTES) return;
      const padding = -bytes.length & 3;
      socket.write(padding === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(padding)]));
    },
    close: () => {
      // What was written before still leaves, unless the server does not take it.
      socket.destroySoon();
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
    },
  };
  const framing = new TurnFraming();
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const message of framing.push(chunk)) carrier.message(message);
    } catch {
      socket.destroy();
    }
  });
  socket.once('close', () => carrier.closed('the TURN server has closed the connection'));
  return carrier;
}

function dial({ transport, server: [address, port], host, localAddress, extraCa }: CarrierOptions): {
  socket: Socket;
  connected: 'connect' | 'secureConnect';
} {
  const local = localAddress === undefined ? {} : { localAddress };
  if (transport === 'tcp') return { socket: connect({ host: address, port, ...local }), connected: 'connect' };
  const isName = isIP(host) === 0;
  const socket = connectTls({
    // `host` is what the certificate is compared with.
    host,
    port,
    ...local,
    lookup: (_name, _options, done) => done(null, [{ address, family: isIP(address) }]),
    ...(isName ? { servername: host } : {}),
    ...(extraCa.length === 0 ? {} : { ca: [...getCACertificates('default'), ...extraCa] }),
  });
  return { socket, connected: 'secureConnect' };
}

/** Cuts a stream into messages: both kinds have their length in bytes 2 and 3 (RFC 8656, section 12.5). */
export class TurnFraming {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws Error when it is neither STUN nor ChannelData; nothing after it can be understood. */
  push(chunk: Buffer): Buffer[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    while (bytes.length >= 4) {
      const kind = (bytes[0] ?? 0) >> 6;
      if (kind > 1) throw new Error('neither STUN nor ChannelData');
      const length = bytes.readUInt16BE(2);
      // ChannelData is padded to a multiple of 4 in streams; STUN's length is one.
      const whole = kind === 0 ? 20 + length : 4 + length;
      const end = (whole + 3) & ~3;
      if (bytes.length < end) break;
      messages.push(bytes.subarray(0, whole));
      bytes = bytes.subarray(end);
    }
    if (bytes.length > MAX_MESSAGE_BYTES) throw new Error('too long');
    this.#rest = bytes;
    return messages;
  }
}
