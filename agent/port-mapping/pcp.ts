/** PCP (RFC 6887), the MAP opcode: a port of the NAT for IPv4, a hole in the firewall for IPv6. */
import { exchange } from './datagram.ts';
import { checkedExternal, pcpAddressBytes, pcpAddressText } from './ip-address.ts';
import { type Ask, grantedLifetimeMs, type Lease, LIFETIME_SECONDS, NoAnswer, Refused } from './lease.ts';

const PORT = 5351;
const VERSION = 2;
const MAP = 1;
const RESPONSE = 0x80;
const UDP = 17;
/** The common header and MAP's part (sections 7.1 and 11.1). */
const HEADER_BYTES = 24;
const MAP_BYTES = 60;
/** Section 7: longer ones must be dropped. */
const MAX_BYTES = 1100;
/** A router may say for how long its refusal holds; longer than this it is not believed. */
const MAX_RETRY_MS = 3_600_000;

/** Section 7.4. What says that PCP or this part of it is unknown here is no refusal. */
const RESULTS: ReadonlyMap<number, string> = new Map([
  [2, 'not authorized'],
  [7, 'it is not connected itself'],
  [8, 'it has no port left'],
  [10, 'this machine has too many mappings'],
  [11, 'it cannot provide that external address'],
]);

export interface MapRequest {
  /** The address to ask from: the router compares it with the packet's. */
  client: string;
  internalPort: number;
  /** Wildcards (`::` or `0.0.0.0`, port 0): whatever the router likes. */
  external: { address: string; port: number };
  /** 0 ends the mapping. */
  lifetimeSeconds: number;
  nonce: Uint8Array;
}

export function encodeMapRequest({ client, internalPort, external, lifetimeSeconds, nonce }: MapRequest): Uint8Array {
  const bytes = Buffer.alloc(MAP_BYTES);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(MAP, 1);
  bytes.writeUInt32BE(lifetimeSeconds, 4);
  bytes.set(pcpAddressBytes(client), 8);
  bytes.set(nonce, 24);
  bytes.writeUInt8(UDP, 36);
  bytes.writeUInt16BE(internalPort, 40);
  bytes.writeUInt16BE(external.port, 42);
  bytes.set(pcpAddressBytes(external.address), 44);
  return bytes;
}

export interface MapAnswer {
  epoch: number;
  lifetimeSeconds: number;
  external: { address: string; port: number };
}

/**
 * @returns undefined if it is no answer to that request.
 * @throws NoAnswer if the router knows no PCP; Refused
 */
export function parseMapAnswer(
  packet: Uint8Array,
  { nonce, internalPort }: Pick<MapRequest, 'nonce' | 'internalPort'>,
): MapAnswer | undefined {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  if (bytes.length < 4 || bytes.length > MAX_BYTES) return undefined;
  // A NAT-PMP router answers that it does not know this version, in its own words (RFC 6886, section 3.5).
  if (bytes[0] === 0) throw new NoAnswer('the router knows NAT-PMP only');
  if (bytes[0] !== VERSION || bytes[1] !== (RESPONSE | MAP) || bytes.length < HEADER_BYTES) return undefined;
  const result = bytes.readUInt8(3);
  const isOurs =
    bytes.length >= MAP_BYTES &&
    bytes.subarray(24, 36).equals(nonce) &&
    bytes[36] === UDP &&
    bytes.readUInt16BE(40) === internalPort;
  const lifetimeSeconds = bytes.readUInt32BE(4);
  if (result !== 0) {
    // Some routers send an error's header alone. If MAP's part is there, it has to be ours.
    if (bytes.length >= MAP_BYTES && !isOurs) return undefined;
    const reason = RESULTS.get(result);
    if (reason === undefined) throw new NoAnswer(`the router answers PCP with result ${result}`);
    throw new Refused(reason, Math.min(lifetimeSeconds * 1000, MAX_RETRY_MS));
  }
  if (!isOurs) return undefined;
  const external = { address: pcpAddressText(bytes.subarray(44, 60)), port: bytes.readUInt16BE(42) };
  return { epoch: bytes.readUInt32BE(8), lifetimeSeconds, external };
}

/** The `Protocol`. */
export async function askPcp(ask: Ask): Promise<Lease> {
  const { local, gateway, suggested, nonce, signal, time } = ask;
  const mapping = { client: local.address, internalPort: local.port, nonce };
  const anywhere = local.address.includes(':') ? '::' : '0.0.0.0';
  const end = encodeMapRequest({ ...mapping, external: { address: anywhere, port: 0 }, lifetimeSeconds: 0 });
  const route = { from: local.address, to: { address: gateway.address, port: gateway.port ?? PORT }, time };
  const parse = (packet: Uint8Array) => parseMapAnswer(packet, mapping);
  const wanted = suggested ?? { address: anywhere, port: local.port };
  const request = encodeMapRequest({ ...mapping, external: wanted, lifetimeSeconds: LIFETIME_SECONDS });
  const answer = await exchange({ ...route, request, parse, undo: end, signal });
  const release = async (signal: AbortSignal) => {
    await exchange({ ...route, request: end, parse, signal });
  };
  try {
    const lifetimeMs = grantedLifetimeMs(answer.lifetimeSeconds);
    const external = checkedExternal(answer.external.address, answer.external.port);
    const renew = (signal: AbortSignal) => askPcp({ ...ask, suggested: external, signal });
    return { protocol: 'PCP', gateway: gateway.address, external, lifetimeMs, epoch: answer.epoch, renew, release };
  } catch (error) {
    await release(signal).catch(() => {});
    throw error;
  }
}
