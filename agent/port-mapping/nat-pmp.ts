/** NAT-PMP (RFC 6886): Apple's routers and most others that speak UPnP. IPv4 only. */
import { exchange } from './datagram.ts';
import { checkedExternal } from './ip-address.ts';
import { type Ask, grantedLifetimeMs, type Lease, LIFETIME_SECONDS, NoAnswer, Refused } from './lease.ts';

const PORT = 5351;
const EXTERNAL_ADDRESS = 0;
const MAP_UDP = 1;
const ANSWER = 128;

/** Section 3.5. */
const RESULTS: ReadonlyMap<number, string> = new Map([
  [2, 'not authorized'],
  [3, 'it is not connected itself'],
  [4, 'it has no port left'],
]);

/** Section 3.2. */
export function encodeExternalAddressRequest(): Uint8Array {
  return Uint8Array.of(0, EXTERNAL_ADDRESS);
}

/** Section 3.3. Port 0 outside and a lifetime of 0 end the mapping (section 3.4). */
export function encodeMapRequest(internalPort: number, externalPort: number, lifetimeSeconds: number): Uint8Array {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(MAP_UDP, 1);
  bytes.writeUInt16BE(internalPort, 4);
  bytes.writeUInt16BE(externalPort, 6);
  bytes.writeUInt32BE(lifetimeSeconds, 8);
  return bytes;
}

/** @returns undefined if it is no answer to that. @throws NoAnswer if the router knows no NAT-PMP; Refused */
function parseAnswer(packet: Uint8Array, operation: number, length: number): Buffer | undefined {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  // What follows the result may be missing when it is an error.
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== (ANSWER | operation)) return undefined;
  const result = bytes.readUInt16BE(2);
  if (result === 1 || result === 5) throw new NoAnswer('the router knows no NAT-PMP');
  if (result !== 0) throw new Refused(RESULTS.get(result) ?? `result ${result}`);
  return bytes.length < length ? undefined : bytes;
}

export function parseExternalAddressAnswer(packet: Uint8Array): string | undefined {
  return parseAnswer(packet, EXTERNAL_ADDRESS, 12)?.subarray(8, 12).join('.');
}

export interface MapAnswer {
  epoch: number;
  externalPort: number;
  lifetimeSeconds: number;
}

export function parseMapAnswer(packet: Uint8Array, internalPort: number): MapAnswer | undefined {
  const bytes = parseAnswer(packet, MAP_UDP, 16);
  if (bytes === undefined || bytes.readUInt16BE(8) !== internalPort) return undefined;
  return {
    epoch: bytes.readUInt32BE(4),
    externalPort: bytes.readUInt16BE(10),
    lifetimeSeconds: bytes.readUInt32BE(12),
  };
}

/** The `Protocol`. */
export async function askNatPmp(ask: Ask): Promise<Lease> {
  const { local, gateway, suggested, signal, time } = ask;
  const route = { from: local.address, to: { address: gateway.address, port: gateway.port ?? PORT }, time };
  const parse = (packet: Uint8Array) => parseMapAnswer(packet, local.port);
  const end = encodeMapRequest(local.port, 0, 0);
  const address = await exchange({
    ...route,
    request: encodeExternalAddressRequest(),
    parse: parseExternalAddressAnswer,
    signal,
  });
  // Before anything is mapped that would be of no use.
  checkedExternal(address, local.port);
  const request = encodeMapRequest(local.port, suggested?.port ?? local.port, LIFETIME_SECONDS);
  const { epoch, externalPort, lifetimeSeconds } = await exchange({ ...route, request, parse, undo: end, signal });
  const release = async (signal: AbortSignal) => {
    await exchange({ ...route, request: end, parse, signal });
  };
  try {
    const lifetimeMs = grantedLifetimeMs(lifetimeSeconds);
    const external = checkedExternal(address, externalPort);
    const renew = (signal: AbortSignal) => askNatPmp({ ...ask, suggested: external, signal });
    return { protocol: 'NAT-PMP', gateway: gateway.address, external, lifetimeMs, epoch, renew, release };
  } catch (error) {
    await release(signal).catch(() => {});
    throw error;
  }
}
