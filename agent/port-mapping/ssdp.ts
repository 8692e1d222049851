/** SSDP (UPnP Device Architecture 2.0, section 1.3): where the router describes itself. */
import { createSocket } from 'node:dgram';
import { type Ask, NoAnswer } from './lease.ts';

const GROUP = { address: '239.255.255.250', port: 1900 };
/** Packets get lost, and some routers are slow: asked three times. */
const RETRANSMISSIONS_MS = [500, 1000, 1500] as const;
/** A router may answer for several devices. After the first of them the others have this long. */
const OTHERS_MS = 300;
/** An honest router has one or two, for its versions. */
const MAX_LOCATIONS = 4;
/** An answer is a dozen short lines. */
const MAX_PACKET_BYTES = 4096;

/** A device of version 2 must answer to version 1 as well, and not all do. */
const TARGETS = [1, 2].map((version) => `urn:schemas-upnp-org:device:InternetGatewayDevice:${version}`);

/**
 * The descriptions at the gateway itself: whatever other devices on the network answer is not theirs to say.
 *
 * @throws NoAnswer or the signal's reason.
 */
export async function findDescriptions({ local, gateway, time, signal }: Ask): Promise<URL[]> {
  signal.throwIfAborted();
  // Some routers answer to the group only, and some firewalls let in only answers of whom was asked.
  const targets = gateway.ssdp ?? [{ address: gateway.address, port: GROUP.port }, GROUP];
  const socket = createSocket('udp4').unref();
  const done = new AbortController();
  const found = new Map<string, URL>();
  const transmit = async () => {
    for (const wait of RETRANSMISSIONS_MS) {
      // One that cannot be sent is one that is not answered.
      for (const { address, port } of targets)
        for (const st of TARGETS) socket.send(searchRequest(st), port, address, () => {});
      await time.sleep(wait, done.signal);
    }
    throw new NoAnswer('no router answers the search for UPnP devices');
  };
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: done.signal });
      socket.on('error', (error) => reject(new NoAnswer(error.message)));
      socket.on('message', (packet, { address }) => {
        const location = address === gateway.address ? parseSearchAnswer(packet, gateway.address) : undefined;
        if (location === undefined || found.size === MAX_LOCATIONS) return;
        found.set(location.href, location);
        if (found.size === 1) time.sleep(OTHERS_MS, done.signal).then(resolve, reject);
      });
      socket.bind({ address: local.address, port: 0, exclusive: true }, () => {
        try {
          socket.setMulticastInterface(local.address);
        } catch (error) {
          return reject(new NoAnswer(String(error)));
        }
        transmit().catch((error: unknown) => {
          if (found.size === 0) reject(error);
        });
      });
    });
    return [...found.values()];
  } finally {
    done.abort();
    socket.close();
  }
}

export function searchRequest(target: string): string {
  const { address, port } = GROUP;
  return `M-SEARCH * HTTP/1.1\r\nHOST: ${address}:${port}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ${target}\r\n\r\n`;
}

/** @returns undefined unless the packet is an answer that names a description at that address. */
export function parseSearchAnswer(packet: Uint8Array, gateway: string): URL | undefined {
  if (packet.length > MAX_PACKET_BYTES) return undefined;
  const [status = '', ...lines] = Buffer.from(packet).toString('latin1').split(/\r?\n/);
  if (!/^HTTP\/1\.[01] 200\b/.test(status)) return undefined;
  const header = (name: string) =>
    lines.find((line) => line.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 1);
  const target = header('st')?.trim() ?? '';
  if (!TARGETS.includes(target)) return undefined;
  return urlAt(gateway, header('location')?.trim() ?? '');
}

/** @returns undefined unless it is an http: URL at that very address. What the router says must not lead elsewhere. */
export function urlAt(gateway: string, text: string, base?: URL): URL | undefined {
  const url = URL.parse(text, base?.href);
  if (url?.protocol !== 'http:' || url.hostname !== gateway) return undefined;
  return url.username === '' && url.password === '' ? url : undefined;
}
