/** Against servers that do as RFC 5780 says, or not; with real NATs it is tested in test/doctor-nat.test.ts. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv4 } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Endpoint } from '../datagram.ts';
import { createNameResolver } from '../server-names.ts';
import { ATTRIBUTE, decodeStun, encodeStun, encodeXorAddress, METHOD } from '../stun.ts';
import { type NatView, observeNat } from './nat.ts';

const resolve = createNameResolver();
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

/** What a server says that it sees of a socket which is at `port`. */
type Sees = (port: number, server: Endpoint) => Endpoint;

async function bind(address: string, port = 0): Promise<Socket> {
  const socket = createSocket('udp4');
  sockets.push(socket);
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

interface FakeOptions {
  sees: Sees;
  /** It names another address of its own. */
  other?: Endpoint;
  /** Who answers a CHANGE-REQUEST: the one that was asked, nobody, or the other socket for these flags. */
  change?: 'ignored' | Partial<Record<number, Socket>>;
}

function serve(socket: Socket, { sees, other, change = {} }: FakeOptions): Endpoint {
  const { address, port } = socket.address();
  const self: Endpoint = [address, port];
  socket.on('message', (data, from) => {
    const request = decodeStun(data);
    if (request === undefined) return;
    const flags = request.attributes.get(ATTRIBUTE.changeRequest)?.readUInt32BE() ?? 0;
    const answerer = flags === 0 || change === 'ignored' ? socket : change[flags];
    const mapped = encodeXorAddress(sees(from.port, self), request.transactionId);
    const attributes: [number, Buffer][] = [[ATTRIBUTE.xorMappedAddress, mapped]];
    if (other !== undefined) attributes.push([ATTRIBUTE.otherAddress, plainAddress(other)]);
    const { transactionId } = request;
    answerer?.send(
      encodeStun({ class: 'success', method: METHOD.binding, transactionId, attributes }),
      from.port,
      from.address,
    );
  });
  return self;
}

/** The form of OTHER-ADDRESS, which is not masked. */
function plainAddress([address, port]: Endpoint): Buffer {
  if (!isIPv4(address)) throw new Error('IPv4 only');
  const value = Buffer.from([0, 1, 0, 0, ...address.split('.').map(Number)]);
  value.writeUInt16BE(port, 2);
  return value;
}

function observe(servers: readonly Endpoint[], ownAddresses: readonly string[] = []): Promise<NatView | undefined> {
  const signal = AbortSignal.timeout(20_000);
  const named = servers.map(([host, port]) => ({ host, port }));
  return observeNat({ family: 4, servers: named, resolve, ownAddresses, signal });
}

const kept: Sees = (port) => ['203.0.113.9', port];
const perServer: Sees = (port, [address, serverPort]) => [
  '203.0.113.9',
  (port + Number(address.at(-1)) * 7 + serverPort) & 0xffff,
];
const perAddress: Sees = (port, [address]) => ['203.0.113.9', (port + Number(address.at(-1)) * 7) & 0xffff];

test.each<[string, Sees, NatView['mapping']]>([
  ['the same for all', kept, 'endpoint-independent'],
  ['another for each address', perAddress, 'address-dependent'],
  ['another for each address and port', perServer, 'address-and-port-dependent'],
])('a port that is %s, seen by servers without RFC 5780', async (_, sees, mapping) => {
  const servers = [await bind('127.0.0.1'), await bind('127.0.0.1'), await bind('127.0.0.2')];
  const view = await observe(servers.map((socket) => serve(socket, { sees })));
  expect(view).toMatchObject({ mapping, filtering: undefined, hairpin: false });
});

test('one server alone cannot tell the mapping, but that there is no NAT', async () => {
  const server = await bind('127.0.0.1');
  const alone = serve(server, { sees: (port) => ['127.0.0.1', port] });
  expect(await observe([alone])).toMatchObject({ mapping: undefined });
  expect(await observe([alone], ['127.0.0.1'])).toMatchObject({ mapping: 'none', hairpin: undefined });
});

test.each<[string, (other: Socket, otherPort: Socket) => FakeOptions['change'], NatView['filtering']]>([
  ['from everywhere', (other, otherPort) => ({ 6: other, 2: otherPort }), 'endpoint-independent'],
  ['from another port', (_, otherPort) => ({ 2: otherPort }), 'address-dependent'],
  ['from nowhere else', () => ({}), 'address-and-port-dependent'],
  ['from the same place, whatever it is asked', () => 'ignored', undefined],
])('answers that come %s tell the filter', async (_, change, filtering) => {
  const [first, other, otherPort] = [await bind('127.0.0.1'), await bind('127.0.0.2'), await bind('127.0.0.1')];
  const { port } = other.address();
  const server = serve(first, { sees: kept, other: ['127.0.0.2', port], change: change(other, otherPort) ?? {} });
  serve(other, { sees: kept });
  const view = await observe([server]);
  expect(view).toMatchObject({ mapping: 'endpoint-independent', filtering });
});

test('servers that stay silent, or answer what nobody asked', async () => {
  const [quiet, noisy] = [await bind('127.0.0.1'), await bind('127.0.0.2')];
  noisy.on('message', (_, from) => {
    noisy.send(Buffer.alloc(36), from.port, from.address);
    const forged = {
      class: 'success',
      method: METHOD.binding,
      transactionId: Buffer.alloc(12),
      attributes: [],
    } as const;
    noisy.send(encodeStun(forged), from.port, from.address);
  });
  const servers = [quiet, noisy].map((socket): Endpoint => ['127.0.0.1', socket.address().port]);
  expect(await observe(servers)).toMatchObject({ answered: [], mapped: undefined, mapping: undefined });
  expect(await observe([])).toBeUndefined();
});
