/** How a network treats UDP, found out by plain datagrams, as RFC 5780, section 4 does with two addresses and ports. */
import { randomUUID } from 'node:crypto';
import type { RemoteInfo, Socket } from 'node:dgram';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { bindInside } from '../namespaces.ts';
import { type Machine, type NatLab, TURN } from './nat-lab.ts';
import type { Mapping, Nat } from './network-types.ts';

/** In a network of namespaces a datagram arrives at once or never. */
const WAIT_MS = 25;
const DATAGRAMS = 10;

/** Undefined: no UDP passes. */
export async function observeBehaviour(lab: NatLab, machine: Machine, family: 4 | 6): Promise<Nat | undefined> {
  const [first, second] = TURN[`ipv${family}`];
  const any = family === 4 ? '0.0.0.0' : '::';
  const [servers, sockets] = await Promise.all([
    bindInside(lab.internet, [first, first, second]),
    bindInside(machine.namespace, [any, any]),
  ]);
  const [server, otherPort, otherAddress] = servers as [Socket, Socket, Socket];
  const [mapped, filtered] = sockets as [Socket, Socket];
  try {
    const mappings: string[] = [];
    for (const server of servers) mappings.push(await askedFrom(mapped, server));
    if (mappings.every((mapping) => mapping === '')) return undefined;
    // Each step has a mapping and has sent to no more places than the one before.
    const own = machine.publicAddresses.find((address) => isIP(address) === family) ?? '';
    const before = await isLetIn(filtered, otherAddress, `${own}:${filtered.address().port}`);
    const external = await askedFrom(filtered, server);
    const isEndpointIndependent = await isLetIn(filtered, otherAddress, external);
    const isAddressDependent = await isLetIn(filtered, otherPort, external);
    return {
      mapping: mappingOf(mappings, mapped.address().port, machine),
      filtering: before
        ? 'none'
        : isEndpointIndependent
          ? 'endpoint-independent'
          : isAddressDependent
            ? 'address-dependent'
            : 'address-and-port-dependent',
    };
  } finally {
    for (const socket of [...servers, ...sockets]) socket.close();
  }
}

/** Which address and port `server` sees; empty: none. */
export async function askedFrom(socket: Socket, server: Socket): Promise<string> {
  const { address, port } = server.address();
  const from = await passes(socket, server, `${address}:${port}`);
  return from === undefined ? '' : `${from.address}:${from.port}`;
}

/** Whether what `from` sends to `external` arrives at `socket`. */
export async function isLetIn(socket: Socket, from: Socket, external: string): Promise<boolean> {
  return (await passes(from, socket, external)) !== undefined;
}

/** Sends datagrams to `external` until one arrives; where `to` sees it come from. */
async function passes(from: Socket, to: Socket, external: string): Promise<RemoteInfo | undefined> {
  const [, address = '', port] = /^(.*):(\d+)$/.exec(external) ?? [];
  const token = randomUUID();
  let sender: RemoteInfo | undefined;
  const heard = (datagram: Buffer, from: RemoteInfo) => {
    if (String(datagram) === token) sender = from;
  };
  to.on('message', heard);
  // Many short waits: a busy process may find a long one over before it has read what arrived.
  for (let sent = 0; sent < DATAGRAMS && sender === undefined; sent++) {
    from.send(token, Number(port), address);
    await sleep(WAIT_MS);
  }
  to.off('message', heard);
  return sender;
}

/** A machine without NAT is seen at the address that it has itself. */
function mappingOf(mappings: readonly string[], ownPort: number, { addresses }: Machine): Mapping {
  const [mapping = ''] = mappings;
  if (mappings.some((other) => other !== mapping)) return 'address-and-port-dependent';
  return addresses.some((address) => mapping === `${address}:${ownPort}`) ? 'none' : 'endpoint-independent';
}
