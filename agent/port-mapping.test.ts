import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import type { Gateway } from './port-mapping/lease.ts';
import { type RouterOptions, TestRouter, TestTime } from './port-mapping/test-router.ts';
import { createPortMapper } from './port-mapping.ts';

const LOCAL = { address: '127.0.0.1', port: 40_000 };
const V1 = 'urn:schemas-upnp-org:service:WANIPConnection:1';
const V2 = 'urn:schemas-upnp-org:service:WANIPConnection:2';

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** Router and mapper are in one process, so that however short a wait is, an answer that was sent comes before its end. */
async function start(options: RouterOptions, { speed = 10 } = {}) {
  const router = await TestRouter.start(options);
  const time = new TestTime(speed);
  const lines: string[] = [];
  const mapper = createPortMapper({ log: (line) => lines.push(line), gateway: async () => router.gateway, time });
  open.push(router, mapper);
  return { router, time, lines, mapper };
}

describe.each([
  ['PCP', { pcp: true, natPmp: true, upnp: true }],
  ['NAT-PMP', { natPmp: true, upnp: true }],
  ['UPnP-IGD', { upnp: true, service: V1 }],
  ['UPnP-IGD', { upnp: true, service: V2 }],
  ['UPnP-IGD', { upnp: true, service: 'urn:schemas-upnp-org:service:WANPPPConnection:1' }],
] as const)('by %s on %o', (protocol, options) => {
  test('a mapping is made with the same port, logged once and taken back at the end', async () => {
    const { router, time, lines, mapper } = await start(options);
    expect(mapper.external(LOCAL)).toBeUndefined();
    mapper.map(LOCAL);
    await time.settled();
    expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
    expect([...router.mappings]).toEqual([[40_000, expect.objectContaining({ internal: '127.0.0.1:40000' })]]);
    expect(lines).toEqual([`port mapping: the router passes 203.0.113.9:40000 to 127.0.0.1:40000 (${protocol})`]);
    await mapper.close();
    expect(router.mappings.size).toBe(0);
    expect(mapper.external(LOCAL)).toBeUndefined();
    expect(lines).toHaveLength(1);
  });

  test('it is renewed at half of its lifetime, and a new address of the router is noticed', async () => {
    const { router, time, lines, mapper } = await start(options);
    mapper.map(LOCAL);
    expect(await time.pass()).toBe(900);
    router.epoch += 900;
    router.external = '198.51.100.7';
    expect(await time.pass()).toBe(900);
    expect(mapper.external(LOCAL)).toEqual({ address: '198.51.100.7', port: 40_000 });
    expect(router.mappings.size).toBe(1);
    expect(lines).toEqual([
      `port mapping: the router passes 203.0.113.9:40000 to 127.0.0.1:40000 (${protocol})`,
      `port mapping: the router passes 198.51.100.7:40000 to 127.0.0.1:40000 (${protocol})`,
    ]);
  });

  test('another port is taken where another machine has this one', async () => {
    const { router, time, mapper } = await start(options);
    router.taken.add(40_000);
    mapper.map(LOCAL);
    await time.settled();
    const [[port] = []] = [...router.mappings];
    expect(port).not.toBe(40_000);
    expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port });
    await time.pass();
    await time.settled();
    expect([...router.mappings.keys()]).toEqual([port]);
  });

  test('what was granted after all, without an answer, is taken back when the agent ends', async () => {
    const { router, mapper } = await start(options);
    const isMapped = () => [...router.mappings].length === 1;
    if (protocol === 'UPnP-IGD') {
      // Silent only from the moment in which it has mapped the port.
      const has = router.mappings.set.bind(router.mappings);
      router.mappings.set = (port, entry) => {
        router.silent = true;
        return has(port, entry);
      };
    } else if (protocol === 'NAT-PMP') {
      router.mangle = (answer) => (answer[1] === 0x81 && router.mappings.size > 0 ? Buffer.alloc(1) : answer);
    } else {
      router.silent = true;
    }
    mapper.map(LOCAL);
    await expect.poll(isMapped).toBe(true);
    await mapper.close();
    await expect.poll(() => router.mappings.size).toBe(0);
  });

  test('the end does not wait for a router that is silent', async () => {
    const { router, time, mapper } = await start(options);
    mapper.map(LOCAL);
    await time.settled();
    router.silent = true;
    await mapper.close();
    expect(mapper.external(LOCAL)).toBeUndefined();
  });

  test('an address that was given back can be asked for again', async () => {
    const { router, time, mapper } = await start(options);
    mapper.map(LOCAL);
    await time.settled();
    mapper.unmap(LOCAL);
    mapper.map(LOCAL);
    expect(mapper.external(LOCAL)).toBeUndefined();
    await time.settled();
    await expect.poll(() => mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
    expect(router.mappings.size).toBe(1);
  });

  test.each(['0.0.0.0', '127.0.0.1', '169.254.1.1', '224.0.0.1', '255.255.255.255'])(
    'an external address of %s is refused, and nothing stays mapped',
    async (address) => {
      const { router, time, lines, mapper } = await start(options);
      router.external = address;
      mapper.map(LOCAL);
      await time.settled();
      expect(mapper.external(LOCAL)).toBeUndefined();
      expect(lines).toEqual([
        `port mapping: the router passes nothing to 127.0.0.1:40000: the router says that its address is ${address}`,
      ]);
      await expect.poll(() => router.mappings.size).toBe(0);
    },
  );

  test.each(['100.64.0.1', '192.168.1.5', '10.0.0.9'])('%s is of use to neighbours', async (address) => {
    const { router, time, lines, mapper } = await start(options);
    router.external = address;
    mapper.map(LOCAL);
    await time.settled();
    expect(mapper.external(LOCAL)).toEqual({ address, port: 40_000 });
    expect(lines).toEqual([expect.stringContaining('that address is not public')]);
  });
});

test('a router that grants other lifetimes is asked at half of them, within bounds', async () => {
  for (const [seconds, pause] of [
    [600, 300],
    [1, 60],
    [0xffffffff, 900],
  ] as const) {
    const { router, time, mapper } = await start({ pcp: true });
    router.lifetimeSeconds = seconds;
    mapper.map(LOCAL);
    expect(await time.pass()).toBe(pause);
  }
});

test('a mapping for no time is none', async () => {
  const { router, time, mapper } = await start({ pcp: true, natPmp: true });
  router.lifetimeSeconds = 0;
  mapper.map(LOCAL);
  await time.settled();
  expect(mapper.external(LOCAL)).toBeUndefined();
});

test('UPnP: a router without leases gets a permanent mapping, which is taken back', async () => {
  const { router, time, mapper } = await start({ upnp: true, service: V1 });
  router.permanentOnly = true;
  mapper.map(LOCAL);
  await time.settled();
  expect(router.asked).toEqual(expect.arrayContaining(['AddPortMapping 40000 1800', 'AddPortMapping 40000 0']));
  expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
  await mapper.close();
  expect(router.mappings.size).toBe(0);
});

test('UPnP: a router that says it is of version 2 and is not is asked as one of version 1', async () => {
  const { router, time, mapper } = await start({ upnp: true, service: V1 });
  router.description = router.description.replace(V1, V2);
  mapper.map(LOCAL);
  await time.settled();
  expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
});

test('a router that restarted is asked anew for every mapping', async () => {
  const { router, time, mapper } = await start({ pcp: true });
  const other = { address: '127.0.0.1', port: 40_001 };
  mapper.map(LOCAL);
  await time.settled(1);
  mapper.map(other);
  await time.settled(2);
  router.restart();
  expect(await time.pass(2)).toBe(900);
  // The other one would have slept on for nearly as long as it takes for two questions.
  await expect.poll(() => router.mappings.size).toBe(1);
  expect(await time.pass(2)).toBe(10);
  await expect.poll(() => router.mappings.size).toBe(2);
  await time.settled(2);
  expect(mapper.external(other)).toEqual({ address: '203.0.113.9', port: 40_001 });
});

test('a router that says with each answer that it restarted is asked each 10 s at most', async () => {
  const { router, time, mapper } = await start({ pcp: true });
  const epochs = [500, 400, 300, 200, 100, 90, 80, 70];
  router.mangle = (answer) => {
    answer.writeUInt32BE(epochs.shift() ?? 0, 8);
    return answer;
  };
  mapper.map(LOCAL);
  await time.settled(1);
  mapper.map({ address: '127.0.0.1', port: 40_001 });
  for (let count = 0; count < 4; count++) {
    await time.settled(2);
    expect(await time.pass(2)).toBeGreaterThanOrEqual(9);
  }
});

test('a mapping lasts until its lifetime ends while the router is silent, then it is lost, and comes back', async () => {
  const { router, time, lines, mapper } = await start({ pcp: true }, { speed: 50 });
  mapper.map(LOCAL);
  await time.settled();
  router.silent = true;
  expect(await time.pass()).toBe(900);
  const pauses = [];
  for (;;) {
    await time.settled();
    if (mapper.external(LOCAL) === undefined) break;
    pauses.push(await time.pass());
  }
  // The last one ends with the lifetime.
  expect(pauses.slice(0, 3)).toEqual([60, 120, 240]);
  expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeGreaterThan(890);
  expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeLessThanOrEqual(901);
  router.silent = false;
  await time.pass();
  await time.settled();
  expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
  expect(lines).toEqual([
    'port mapping: the router passes 203.0.113.9:40000 to 127.0.0.1:40000 (PCP)',
    expect.stringMatching(/^port mapping: the router does not pass packets to 127\.0\.0\.1:40000 any more: /),
    'port mapping: the router passes 203.0.113.9:40000 to 127.0.0.1:40000 (PCP)',
  ]);
});

test('a renewal that is refused ends the mapping at once', async () => {
  const { router, time, lines, mapper } = await start({ pcp: true });
  mapper.map(LOCAL);
  await time.settled();
  router.result = 2;
  await time.pass();
  await time.settled();
  expect(mapper.external(LOCAL)).toBeUndefined();
  expect(lines[1]).toBe('port mapping: the router does not pass packets to 127.0.0.1:40000 any more: not authorized');
});

test('a protocol that the router no longer speaks is replaced by the one that it speaks now', async () => {
  const { router, time, lines, mapper } = await start({ pcp: true });
  mapper.map(LOCAL);
  await time.settled();
  const other = await TestRouter.start({ upnp: true });
  open.push(other);
  Object.defineProperty(router, 'gateway', { value: other.gateway });
  router.silent = true;
  await time.pass();
  await time.settled();
  expect([...other.mappings.keys()]).toEqual([40_000]);
  expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
  expect(lines).toHaveLength(1);
});

test('without a router nothing is said, and the questions become rare', async () => {
  const time = new TestTime();
  const lines: string[] = [];
  const mapper = createPortMapper({ log: (line) => lines.push(line), gateway: async () => undefined, time });
  open.push(mapper);
  mapper.map(LOCAL);
  const pauses = [];
  for (let count = 0; count < 9; count++) pauses.push(await time.pass());
  expect(pauses).toEqual([60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
  expect(lines).toEqual([]);
});

test.each([
  ['closed ports', {}],
  ['UPnP of another kind', { upnp: true, service: 'urn:schemas-upnp-org:service:ContentDirectory:1' }],
])('a router with %s is not spoken of', async (_, options) => {
  const { time, lines, mapper } = await start(options);
  mapper.map(LOCAL);
  expect(await time.pass()).toBe(60);
  expect(await time.pass()).toBe(120);
  expect(lines).toEqual([]);
});

test('a refusal is said once, and its time is respected', async () => {
  const { router, time, lines, mapper } = await start({ pcp: true });
  router.result = 8;
  router.lifetimeSeconds = 1000;
  mapper.map(LOCAL);
  expect(await time.pass()).toBe(1000);
  await time.settled();
  expect(lines).toEqual(['port mapping: the router passes nothing to 127.0.0.1:40000: it has no port left']);
});

test('what looks for the router may fail', async () => {
  const time = new TestTime();
  const gateway = async (): Promise<Gateway> => {
    throw new Error('broken');
  };
  const mapper = createPortMapper({ log: () => {}, gateway, time });
  open.push(mapper);
  mapper.map(LOCAL);
  expect(await time.pass()).toBe(60);
});

test('an address that this machine does not have any more is no reason to fail', async () => {
  const { time, mapper } = await start({ pcp: true });
  // TEST-NET-1: nobody has it.
  mapper.map({ address: '192.0.2.1', port: 40_000 });
  expect(await time.pass()).toBe(60);
});

test('nothing is asked for after the end, and it may be called twice', async () => {
  const { router, mapper } = await start({ pcp: true });
  await mapper.close();
  mapper.map(LOCAL);
  mapper.unmap(LOCAL);
  await mapper.close();
  expect(mapper.external(LOCAL)).toBeUndefined();
  expect(router.asked).toEqual([]);
});

describe('hostile answers', () => {
  test.each([
    ['one byte', () => Buffer.alloc(1)],
    ['nothing', () => Buffer.alloc(0)],
    ['another nonce', (answer: Buffer) => answer.fill(7, 24, 36)],
    ['another port', (answer: Buffer) => answer.fill(7, 40, 42)],
    ['half an answer', (answer: Buffer) => answer.subarray(0, 40)],
    ['a question', (answer: Buffer) => Buffer.from(answer).fill(1, 1, 2)],
    ['too much', (answer: Buffer) => Buffer.concat([answer, Buffer.alloc(1100)])],
  ])('PCP: %s is no answer', async (_, mangle) => {
    const { router, time, lines, mapper } = await start({ pcp: true }, { speed: 50 });
    // Not its answer that it knows no NAT-PMP.
    router.mangle = (answer) => (answer.length < 60 ? answer : mangle(answer));
    mapper.map(LOCAL);
    await time.settled();
    expect(mapper.external(LOCAL)).toBeUndefined();
    expect(lines).toEqual([]);
    expect(router.asked.filter((what) => what.endsWith(' 1800')).length).toBeGreaterThan(1);
  });

  test('PCP: port 0 is refused', async () => {
    const { router, time, mapper } = await start({ pcp: true });
    router.mangle = (answer) => (answer.length < 60 ? answer : answer.fill(0, 42, 44));
    mapper.map(LOCAL);
    await time.settled();
    expect(mapper.external(LOCAL)).toBeUndefined();
    await expect.poll(() => router.mappings.size).toBe(0);
  });

  test.skipIf(process.platform !== 'linux')('others on the network do not answer for the router', async () => {
    // Beside the router, at an address of its own, which systems other than Linux do not have.
    const other = createSocket('udp4');
    open.push({ close: async () => other.close() });
    await once(other.bind(0, '127.0.0.2'), 'listening');
    const { router, time, mapper } = await start({ pcp: true });
    const gateway = router.gateway;
    // The router; the other one knows from which port it is asked, and is faster.
    const spy = createSocket('udp4');
    open.push({ close: async () => spy.close() });
    await once(spy.bind(0, '127.0.0.1'), 'listening');
    spy.on('message', (packet, { port }) => {
      const forged = Buffer.concat([packet]);
      forged[1] = 0x81;
      forged.set([6, 6, 6, 6], 56);
      forged.fill(0xff, 54, 56);
      other.send(forged, port, '127.0.0.1', () => {
        forged.set([203, 0, 113, 77], 56);
        spy.send(forged, port, '127.0.0.1');
      });
    });
    Object.defineProperty(router, 'gateway', { value: { ...gateway, port: spy.address().port } });
    mapper.map(LOCAL);
    await time.settled();
    expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.77', port: 40_000 });
  });

  async function trap() {
    const server = createServer((_, response) => response.end());
    let requests = 0;
    server.on('request', () => requests++);
    await once(server.listen(0, '127.0.0.2'), 'listening');
    open.push({ close: () => new Promise((resolve) => server.close(resolve)) });
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    return { url: `http://127.0.0.2:${port}`, requests: () => requests };
  }

  test.skipIf(process.platform !== 'linux')('UPnP: nothing leads to another address than the router’s', async () => {
    const { url, requests } = await trap();
    const { router, time, mapper } = await start({ upnp: true });
    const honest = { location: router.location, description: router.description };
    const cases: (() => void)[] = [
      () => {
        router.location = `${url}/description.xml`;
      },
      () => {
        router.location = honest.location.replace('http:', 'https:');
      },
      () => {
        router.location = honest.location.replace('http://', 'http://user:password@');
      },
      () => {
        router.description = honest.description.replace('/control', `${url}/control`);
      },
      () => {
        router.serve = (path) =>
          path === '/description.xml' ? { status: 302, body: '', location: `${url}/description.xml` } : undefined;
      },
      () => {
        router.serve = (path) =>
          path === '/control' ? { status: 307, body: '', location: `${url}/control` } : undefined;
      },
    ];
    mapper.map(LOCAL);
    await time.settled();
    for (const change of cases) {
      Object.assign(router, honest, { serve: () => undefined });
      mapper.unmap(LOCAL);
      change();
      mapper.map(LOCAL);
      await expect.poll(() => mapper.external(LOCAL)).toBeUndefined();
      await time.settled();
      expect(mapper.external(LOCAL)).toBeUndefined();
    }
    // A base that leads elsewhere is left aside.
    Object.assign(router, honest, { serve: () => undefined });
    router.description = honest.description.replace('<device>', `<URLBase>${url}</URLBase><device>`);
    await time.pass();
    await time.settled();
    expect(mapper.external(LOCAL)).toEqual({ address: '203.0.113.9', port: 40_000 });
    expect(requests()).toBe(0);
  });

  const BOMB = `<?xml version="1.0"?><!DOCTYPE root [<!ENTITY a "${'a'.repeat(50)}"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><root>&b;</root>`;
  test.each([
    ['a document without an end', `<root>${'<a></a>'.repeat(100_000)}`],
    ['a longer one than any router has', `<root>${' '.repeat(200_000)}</root>`],
    ['one of a depth that none has', `${'<a>'.repeat(40)}${'</a>'.repeat(40)}`],
    ['entities of its own', BOMB],
    ['no XML', 'Please log in'],
  ])('UPnP: %s is refused', async (_, description) => {
    const { router, time, lines, mapper } = await start({ upnp: true });
    router.description = description;
    mapper.map(LOCAL);
    expect(await time.pass()).toBe(60);
    expect(mapper.external(LOCAL)).toBeUndefined();
    expect(lines.length).toBe(1);
  });

  test('UPnP: a port that is none is refused', async () => {
    const { router, time, mapper } = await start({ upnp: true, service: V2 });
    router.serve = (path) =>
      path === '/control' && router.asked.filter((what) => what === 'POST /control').length === 2
        ? { status: 200, body: '<a><NewReservedPort>70000</NewReservedPort></a>' }
        : undefined;
    mapper.map(LOCAL);
    await time.settled();
    expect(mapper.external(LOCAL)).toBeUndefined();
  });
});
