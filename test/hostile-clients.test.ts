import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IS_NATIVE } from '../agent/test-network.ts';
import { ERRORS, type ErrorCode } from '../shared/errors.ts';
import { decodeFrames, encodeFrames, type Frame } from '../shared/frame.ts';
import { MAX_CONCURRENT_STREAMS, MAX_HEAD_BYTES } from '../shared/limits.ts';
import { type FakeLlm, startFakeLlm } from './fake-llm.ts';
import { AgentProcess, RawClient } from './raw-client.ts';

let fake: FakeLlm;
let agent: AgentProcess;
beforeAll(async () => {
  fake = await startFakeLlm();
  agent = await AgentProcess.start(fake.url, 1_500);
});
afterAll(async () => {
  agent.close();
  await fake.close();
});

const stream = (id: number, offset: number, data: Uint8Array, fin = false): Frame => ({
  type: 'STREAM',
  id,
  offset,
  data,
  fin,
});
/** The bytes of a request without a body. */
function request(path: string): Buffer {
  const head = Buffer.from(JSON.stringify({ method: 'GET', path, headers: [] }));
  return Buffer.concat([Buffer.from([0x01, 0x40 | (head.length >> 8), head.length & 0xff]), head]);
}

describe('a client that breaks the rules loses its session with a code, and the agent lives', () => {
  const attacks: [name: string, code: ErrorCode, attack: (client: RawClient) => unknown][] = [
    ['text instead of frames', 'E_PROTOCOL', (client) => client.hello().raw('GET / HTTP/1.1')],
    [
      'random bytes',
      'E_PROTOCOL',
      (client) => client.hello().raw(Buffer.concat([Buffer.from([0xff]), randomBytes(99)])),
    ],
    [
      'another session’s HELLO',
      'E_SESSION_UNKNOWN',
      (client) => client.say({ type: 'HELLO', json: '{"protocol_version":1}' }),
    ],
    ['no HELLO', 'E_PROTOCOL', (client) => client.say({ type: 'PING', nonce: 1 })],
    [
      'a stream flood',
      'E_STREAM_LIMIT',
      (client) => {
        client.hello();
        for (let id = 0; id <= MAX_CONCURRENT_STREAMS; id++) client.say(stream(id, 0, new Uint8Array(1)));
      },
    ],
    [
      'more data than the credit',
      'E_FLOW_CONTROL',
      (client) => client.hello().say({ type: 'RESET_STREAM', id: 0, code: 4014, finalSize: 2 ** 30 }),
    ],
    ['a frame ahead of its stream', 'E_PROTOCOL', (client) => client.hello().say(stream(0, 100, new Uint8Array(1)))],
    [
      'random bytes in a lane',
      'E_PROTOCOL',
      async (client) => (await client.greet()).inStream(5, 53, Buffer.alloc(99, 0xff)),
    ],
    [
      'HELLO in a lane',
      'E_PROTOCOL',
      async (client) => (await client.greet()).inStream(5, 53, encodeFrames([{ type: 'HELLO', json: '{}' }])),
    ],
  ];
  test.each(attacks)('%s', async (_name, code, attack) => {
    const client = await new RawClient(agent).open();
    await attack(client);
    await client.until(() => client.closed);
    const last = client.messages.flatMap((message) => decodeFrames(message)).at(-1);
    expect(last).toMatchObject({ type: 'CONNECTION_CLOSE', code: ERRORS[code].close });
    await client.close();
    expect(agent.exited).toBe(false);
  });

  test('a huge head fails its stream only', async () => {
    const client = await new RawClient(agent).open();
    client.hello().say(stream(0, 0, Buffer.from([0x01, 0x80, 0x10, 0x00, 0x00])));
    client.say(stream(1, 0, request('/v1/models'), true));
    const text = () => Buffer.concat(client.messages).toString('latin1');
    await client.until(() => text().includes('E_HEAD_TOO_LARGE') && text().includes('"object":"list"'));
    expect(MAX_HEAD_BYTES).toBeLessThan(0x10_0000);
    await client.close();
  });
});

// libdatachannel refuses by itself what belongs to no channel, and is silent about an OPEN where one is.
describe.skipIf(IS_NATIVE)('a client that uses lanes as it should not', () => {
  const text = (client: RawClient) => Buffer.concat(client.messages).toString('latin1');

  test('is answered where the agent can, and nothing else happens', async () => {
    const client = await new RawClient(agent).open();
    await client.greet();
    // Lanes that are none, of streams that are none; channels that nobody wants to open are another test's.
    for (const lane of [0, 1, 128, 129, 65_535, 2 ** 30]) {
      client.say({ type: 'LANE', id: 0, lane }, { type: 'LANE', id: 77, lane });
    }
    for (const lane of [129, 500, 65_000]) client.inStream(lane, 53, Buffer.alloc(99, 0xff));
    for (const protocol of [0, 51, 54, 56, 57, 2 ** 31]) client.inStream(7, protocol, Buffer.alloc(9, 0xff));
    client.say(stream(0, 0, request('/v1/models'), true));
    await client.until(() => text(client).includes('"object":"list"'));
    await client.close();
  });

  test('may send the parts of a stream in several lanes as long as they come in order', async () => {
    const client = await new RawClient(agent).open();
    await client.greet();
    const bytes = request('/v1/models');
    for (const [at, byte] of bytes.entries()) {
      const last = at === bytes.length - 1;
      client.inStream(1 + (at % 128), 53, encodeFrames([stream(0, at, Uint8Array.of(byte), last)]));
    }
    await client.until(() => text(client).includes('"object":"list"') || client.closed);
    await client.close();
    expect(agent.exited).toBe(false);
  });

  test('is closed when it opens a data channel', async () => {
    const client = await new RawClient(agent).open();
    client.hello();
    client.connection.createDataChannel('another');
    await client.until(() => agent.log.includes('opened another data channel'));
    await client.close();
    expect(agent.exited).toBe(false);
  });
});

describe('slots', () => {
  test('connection number 11 is refused at once, and works when another one has ended', async () => {
    await agent.idle();
    const clients = await Promise.all(Array.from({ length: 10 }, () => new RawClient(agent).open()));
    for (const client of clients) client.hello();
    const eleventh = new RawClient(agent);
    await eleventh.offer();
    await eleventh.until(() => eleventh.refused !== undefined);
    expect(eleventh.refused?.code).toBe('E_HOST_BUSY');
    await eleventh.close();
    await clients[0]?.close();
    await expect.poll(async () => (await agent.measure()).connections).toBe(9);
    const next = await new RawClient(agent).open();
    await Promise.all([next, ...clients].map((client) => client.close()));
    await agent.idle();
  });

  test('an offer that is never followed up frees its slot', async () => {
    const client = new RawClient(agent);
    await client.offer();
    await client.until(() => client.answered);
    await client.vanish();
    expect((await agent.measure()).connections).toBe(1);
    await agent.idle();
  });

  test('an open channel that never says HELLO frees its slot', async () => {
    const client = await new RawClient(agent).open();
    await client.until(() => client.closed);
    expect(client.refused?.code).toBe('E_HANDSHAKE_TIMEOUT');
    await client.close();
    await agent.idle();
  });

  test('a client that vanishes in mid-response frees its slot and the upstream’s request', async () => {
    const client = await new RawClient(agent).open();
    client.hello().say(stream(0, 0, request('/v1/test/trickle?ms=50&n=100000'), true));
    await client.until(() => client.messages.length > 5);
    await client.vanish();
    await agent.idle(40_000);
    const seen = fake.requests.find(({ url }) => url.startsWith('/v1/test/trickle'));
    expect(seen?.aborted).toBe(true);
  });
});

test('1,000 sessions opened and killed leave memory and descriptors as they were', async () => {
  await agent.idle();
  const kill = async (round: number): Promise<void> => {
    const client = new RawClient(agent);
    if (round % 10 === 0) {
      // Abandoned before the answer; the slot is freed by the page that gives up.
      await client.offer();
      await client.until(() => client.answered || client.refused !== undefined);
    } else {
      await client.open().then(
        () => {
          const path = round % 3 === 0 ? '/v1/test/trickle?ms=20&n=1000' : '/v1/models';
          client.hello().say(stream(0, 0, request(path), true));
        },
        () => {},
      );
      await client.until(() => client.messages.length > 0 || client.refused !== undefined);
      // While abandoned ones still hold their slots, or because a busy machine took too long for a HELLO.
      if (client.messages.length === 0) {
        await client.close();
        return kill(round);
      }
      if (round % 4 === 0) client.raw('garbage');
    }
    await client.close();
  };
  const run = async (count: number) => {
    let next = 0;
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        while (next < count) await kill(next++);
      }),
    );
    await agent.idle();
  };
  // What is allocated once, such as code, pools and caches, is not a leak. Resident memory takes longest to settle:
  // it grows for some hundred sessions, while V8 and malloc find the size of their pools.
  await run(100);
  const before = await agent.measure();
  await run(500);
  const middle = await agent.measure();
  await run(500);
  let after = await agent.measure();
  const held = ({ heap, external }: typeof after) => heap + external;
  // What has ended may take a while to be torn down and collected on a busy machine; what leaks stays.
  const isBack = () =>
    after.descriptors <= before.descriptors + 2 &&
    held(after) - held(middle) < 5e6 &&
    held(after) - held(before) < 25e6;
  for (let more = 0; more < 30 && !isBack(); more++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    after = await agent.measure();
  }
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
  for (const [name, { heap, external, rss, descriptors }] of Object.entries({ before, middle, after })) {
    console.log(
      `${name.padEnd(6)} heap ${megabytes(heap)} MB, external ${megabytes(external)} MB, rss ${megabytes(rss)} MB, ` +
        `${descriptors} descriptors`,
    );
  }
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2);
  // A leaked connection costs over 100 kB of heap: one in ten of the second half would show, and one in four of all.
  // On a busy machine the first half may leave more that is not yet collected.
  expect(held(after) - held(middle)).toBeLessThan(5e6);
  expect(held(after) - held(before)).toBeLessThan(25e6);
  // The heap is the exact measure. Pools may still grow by tens of megabytes on a busy machine; native memory that
  // leaks, such as sockets and keys, would show as hundreds of kilobytes a session.
  expect(after.rss - middle.rss).toBeLessThan(150e6);
  expect(agent.exited).toBe(false);
}, 400_000);

test('the agent still answers', async () => {
  const client = await new RawClient(agent).open();
  client.hello().say(stream(0, 0, request('/v1/models'), true));
  await client.until(() => Buffer.concat(client.messages).toString('latin1').includes('"object":"list"'));
  await client.close();
});
