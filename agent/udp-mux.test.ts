import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { DatagramTransport, Endpoint } from './datagram.ts';
import type { MuxShare, MuxSocket } from './mux-socket.ts';
import type { LocalAddress, MappedAddress, PortRange } from './network-settings.ts';
import { ATTRIBUTE, encodeStun, METHOD } from './stun.ts';
import { NoPortError, UdpMux } from './udp-mux.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanup.splice(0).reverse()) await clean();
});

function local(address: string): LocalAddress {
  return { interface: 'lo', address, family: address.includes(':') ? 6 : 4, advertised: [address] };
}

interface Setup {
  mux: UdpMux;
  socket: MuxSocket;
  bound: MappedAddress[];
  unbound: MappedAddress[];
  clock: { ms: number };
}

async function open({
  ports,
  addresses = ['127.0.0.1'],
}: {
  ports?: PortRange;
  addresses?: string[];
} = {}): Promise<Setup> {
  const [bound, unbound]: [MappedAddress[], MappedAddress[]] = [[], []];
  const clock = { ms: 0 };
  const mux = new UdpMux({
    ports,
    log: () => {},
    bound: (each) => void bound.push(each),
    unbound: (each) => void unbound.push(each),
    now: () => clock.ms,
  });
  cleanup.push(() => mux.close());
  await mux.open(addresses.map(local));
  const [socket] = mux.sockets;
  if (socket === undefined) throw new Error('no socket');
  return { mux, socket, bound, unbound, clock };
}

interface Joined {
  share: MuxShare;
  transport: DatagramTransport;
  received: { data: Buffer; from: Endpoint }[];
}

function join(mux: UdpMux, socket: MuxSocket, ufrag: string): Joined {
  const share = mux.join({ ufrag, password: `password of ${ufrag}` });
  const transport = share.use(socket);
  const received: Joined['received'] = [];
  transport.onData = (data, from) => void received.push({ data, from });
  return { share, transport, received };
}

interface Remote {
  socket: Socket;
  endpoint: Endpoint;
  received: Buffer[];
  send(data: Buffer, to: MuxSocket): void;
}

async function remote(): Promise<Remote> {
  const socket = createSocket('udp4');
  cleanup.push(() => socket.close());
  const received: Buffer[] = [];
  socket.on('message', (data) => void received.push(data));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return {
    socket,
    endpoint: ['127.0.0.1', socket.address().port],
    received,
    send: (data, to) => socket.send(data, to.port, '127.0.0.1'),
  };
}

function check(ufrag: string, password = `password of ${ufrag}`): Buffer {
  const attributes = [[ATTRIBUTE.username, Buffer.from(`${ufrag}:theirs`)]] as const;
  return encodeStun({ class: 'request', method: METHOD.binding, transactionId: randomBytes(12), attributes }, password);
}

const dtls = (text: string) => Buffer.concat([Buffer.from([22]), Buffer.from(text)]);

describe('datagrams reach', () => {
  test('the connection whose ICE user name and password a request has, and later what comes from there', async () => {
    const { mux, socket } = await open();
    const [one, two] = [join(mux, socket, 'one'), join(mux, socket, 'two')];
    const [alice, bob] = [await remote(), await remote()];
    alice.send(dtls('too early'), socket);
    alice.send(check('one'), socket);
    alice.send(dtls('from alice'), socket);
    bob.send(check('two'), socket);
    bob.send(dtls('from bob'), socket);
    await expect.poll(() => [one.received.length, two.received.length]).toEqual([2, 2]);
    expect(one.received[1]).toEqual({ data: dtls('from alice'), from: alice.endpoint });
    expect(two.received[1]).toEqual({ data: dtls('from bob'), from: bob.endpoint });
    expect(mux.dropped).toBe(1);
  });

  test('nobody when the request is not authentic, and nobody learns its address', async () => {
    const { mux, socket } = await open();
    const one = join(mux, socket, 'one');
    const mallory = await remote();
    const unsigned = encodeStun({
      class: 'request',
      method: METHOD.binding,
      transactionId: randomBytes(12),
      attributes: [[ATTRIBUTE.username, Buffer.from('one:theirs')]],
    });
    const hostile = [check('one', 'guessed'), check('unknown'), unsigned, dtls('data')];
    for (const data of hostile) mallory.send(data, socket);
    await expect.poll(() => mux.dropped).toBe(hostile.length);
    expect(one.received).toEqual([]);
    expect(socket.sizes.learned).toBe(0);
  });

  test('the connection that authenticated the address last', async () => {
    const { mux, socket } = await open();
    const [one, two] = [join(mux, socket, 'one'), join(mux, socket, 'two')];
    const alice = await remote();
    for (const data of [check('one'), check('two'), dtls('data')]) alice.send(data, socket);
    await expect.poll(() => [one.received.length, two.received.length]).toEqual([1, 2]);
    await two.transport.close();
    alice.send(dtls('more'), socket);
    await expect.poll(() => mux.dropped).toBe(1);
    expect(one.received.length).toBe(1);
  });

  test('whoever sent the request that is answered, until it is forgotten', async () => {
    const { mux, socket, clock } = await open();
    const [one, two] = [join(mux, socket, 'one'), join(mux, socket, 'two')];
    const alice = await remote();
    const request = check('theirs');
    await one.transport.send(request, alice.endpoint);
    await expect.poll(() => alice.received.length).toBe(1);
    const answer = Buffer.from(request);
    answer.writeUInt16BE(0x0101, 0);
    alice.send(answer, socket);
    await expect.poll(() => one.received.length).toBe(1);
    clock.ms = 40_001;
    alice.send(answer, socket);
    await expect.poll(() => mux.dropped).toBe(1);
    expect(two.received).toEqual([]);
  });
});

describe('hostile peers', () => {
  test('cannot make it throw, deliver or remember anything', async () => {
    const { mux, socket } = await open();
    const one = join(mux, socket, 'one');
    const mallory = await remote();
    const genuine = check('one', 'guessed');
    const datagrams = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      // Truncated, and with lengths of zero and of much more than there is.
      fc.tuple(fc.nat(genuine.length), fc.constantFrom(0, 4, 0x7fff, 0xffff), fc.nat(60)).map(([end, length, at]) => {
        const bytes = Buffer.from(genuine);
        bytes.writeUInt16BE(length, at === 0 ? 2 : Math.min(at, bytes.length - 2));
        return bytes.subarray(0, end);
      }),
    );
    const sent = fc.sample(datagrams, 1500);
    for (const [i, data] of sent.entries()) {
      mallory.send(Buffer.from(data), socket);
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    mallory.send(check('one'), socket);
    await expect.poll(() => one.received.length).toBe(1);
    expect(socket.sizes).toEqual({ transactions: 0, learned: 1, transports: 1 });
  });

  test('cannot grow its memory without end', async () => {
    const { mux, socket } = await open();
    const one = join(mux, socket, 'one');
    for (let i = 0; i < 5000; i++) await one.transport.send(check('theirs'), ['127.0.0.1', 9]);
    expect(socket.sizes.transactions).toBeLessThanOrEqual(4096);
    const remotes = await Promise.all(Array.from({ length: 80 }, remote));
    for (const each of remotes) {
      each.send(check('one'), socket);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => one.received.length).toBe(80);
    expect(socket.sizes.learned).toBe(64);
    one.share.close();
    expect(socket.sizes).toEqual({ transactions: 0, learned: 0, transports: 0 });
  });

  test('two connections cannot have one user name', async () => {
    const { mux } = await open();
    const share = mux.join({ ufrag: 'same', password: 'a' });
    expect(() => mux.join({ ufrag: 'same', password: 'b' })).toThrow('in use');
    share.close();
    expect(() => mux.join({ ufrag: 'same', password: 'b' })).not.toThrow();
  });
});

describe('sockets', () => {
  test('have one port at all addresses, and that of the range', async () => {
    const { mux, bound } = await open({ addresses: ['127.0.0.1', '127.0.0.2', '::1'] });
    expect(new Set(mux.sockets.map(({ port }) => port)).size).toBe(1);
    expect(bound.length).toBe(3);
    const taken = mux.sockets[0]?.port ?? 0;
    const ranged = await open({ ports: { min: taken, max: taken + 20 }, addresses: ['127.0.0.1'] });
    expect(ranged.socket.port).toBeGreaterThan(taken);
    expect(ranged.socket.port).toBeLessThanOrEqual(taken + 20);
  });

  test('that cannot have the pinned port are an error that names it, and the others are there', async () => {
    const { socket } = await open();
    const mux = new UdpMux({ ports: { min: socket.port, max: socket.port }, log: () => {} });
    cleanup.push(() => mux.close());
    const opening = mux.open([local('127.0.0.1'), local('127.0.0.2')]);
    await expect(opening).rejects.toThrow(NoPortError);
    await expect(opening).rejects.toThrow(`port ${socket.port} is in use at 127.0.0.1`);
    expect(mux.sockets.map(({ local: { address } }) => address)).toEqual(['127.0.0.2']);
  });

  test('at an address that is gone close with their last connection, and come back with it', async () => {
    const { mux, socket, bound, unbound } = await open();
    const one = join(mux, socket, 'one');
    await mux.open([local('127.0.0.2')]);
    expect(mux.sockets.map(({ local: { address } }) => address)).toEqual(['127.0.0.2']);
    expect(socket.closed).toBe(false);
    one.share.close();
    expect(socket.closed).toBe(true);
    expect(unbound.map(({ address }) => address)).toEqual(['127.0.0.1']);
    await mux.open([local('127.0.0.1'), local('127.0.0.2')]);
    expect(mux.sockets.length).toBe(2);
    expect(bound.length).toBe(3);
  });

  test('at an address that the machine does not have are left out', async () => {
    const { mux } = await open({ addresses: ['127.0.0.1', '203.0.113.77'] });
    expect(mux.sockets.length).toBe(1);
  });

  test('swallow what cannot be sent', async () => {
    const { mux, socket } = await open();
    const one = join(mux, socket, 'one');
    await one.transport.send(dtls('x'), ['255.255.255.255', 9]);
    await one.transport.send(Buffer.alloc(70_000), ['127.0.0.1', 9]);
    const alice = await remote();
    await one.transport.send(dtls('fine'), alice.endpoint);
    await expect.poll(() => alice.received).toEqual([dtls('fine')]);
  });
});
