/** How a network treats UDP, found out by plain datagrams, as RFC 5780, section 4 does with two addresses and ports. */
import type { Socket } from 'node:dgram';
import { bindInside } from '../namespaces.ts';
import { type Machine, type NatLab, TURN } from './nat-lab.ts';
import type { Filtering, Mapping } from './network-types.ts';

export interface Behaviour {
  mapping: Mapping;
  filtering: Filtering;
}

/** Nobody else in the lab listens here. */
const PORTS = [5000, 5001] as const;
/** In a network of namespaces a datagram arrives at once or never; many times that, for a busy machine. */
const WAIT_MS = 400;

/** Undefined: no UDP passes. */
export async function observeBehaviour(lab: NatLab, machine: Machine, family: 4 | 6): Promise<Behaviour | undefined> {
  const [first, second] = TURN[`ipv${family}`];
  const any = family === 4 ? '0.0.0.0' : '::';
  // One socket for the first part of both tests: a filter is known by what the mapping of the second lets in.
  const servers = await Promise.all(
    [first, second].flatMap((address) => PORTS.map((port) => bindInside(lab.internet, address, port))),
  );
  const sockets = await Promise.all([bindInside(machine.namespace, any), bindInside(machine.namespace, any)]);
  const [mapped, filtered] = sockets;
  try {
    const mappings: string[] = [];
    for (const server of servers) mappings.push(await askedFrom(mapped, server));
    if (mappings.every((mapping) => mapping === '')) return undefined;
    const external = await askedFrom(filtered, servers[0] as Socket);
    // The strictest first: what is let in afterwards may depend on what was.
    const isLetIn = async (server: Socket | undefined) => {
      const arrived = next(filtered);
      const [, address = '', port] = /^(.*):(\d+)$/.exec(external) ?? [];
      server?.send('unasked', Number(port), address);
      return (await arrived) !== undefined;
    };
    const [, otherPort, otherAddress] = servers;
    return {
      mapping: mappingOf(mappings, `${mapped.address().port}`, machine),
      filtering: (await isLetIn(otherAddress))
        ? 'endpoint-independent'
        : (await isLetIn(otherPort))
          ? 'address-dependent'
          : 'address-and-port-dependent',
    };
  } finally {
    for (const socket of [...servers, ...sockets]) socket.close();
  }
}

/** Which address and port `server` sees; empty: none. */
async function askedFrom(socket: Socket, server: Socket): Promise<string> {
  const { address, port } = server.address();
  const seen = new Promise<string>((resolve) => {
    server.once('message', (_, { address, port }) => resolve(`${address}:${port}`));
    setTimeout(resolve, WAIT_MS, '');
  });
  socket.send('x', port, address);
  return seen;
}

function next(socket: Socket): Promise<true | undefined> {
  return new Promise((resolve) => {
    socket.once('message', () => resolve(true));
    setTimeout(resolve, WAIT_MS);
  });
}

/** A machine without NAT is seen at the address that it has itself, and that is public. */
function mappingOf(mappings: readonly string[], ownPort: string, { ownAddresses }: Machine): Mapping {
  const [mapping = ''] = mappings;
  if (mappings.some((other) => other !== mapping)) return 'address-and-port-dependent';
  const isOwn = ownAddresses.some((address) => mapping === `${address}:${ownPort}`);
  return isOwn ? 'none' : 'endpoint-independent';
}
