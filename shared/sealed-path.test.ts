import fc from 'fast-check';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { generateHostKeys, type RelayRecipient, verifyAnnouncement } from './host-identity.ts';
import { MAX_MESSAGE_BYTES, RELAY_KEY_LIFETIME_MS, RELAY_KEY_ROTATION_MS, SEAL_OVERHEAD_BYTES } from './limits.ts';
import { type MemoryPathOptions, memoryPaths } from './memory-path.ts';
import type { Path } from './path.ts';
import { RelayKeys } from './relay-keys.ts';
import { type SealedPathOptions, sealedAgentPath, sealedClientPath } from './sealed-path.ts';
import { PREFACE_BYTES } from './sealing.ts';
import type { Stream } from './stream.ts';
import { TestClock } from './test-clock.ts';
import { agentSession, clientSession } from './test-sessions.ts';

const ID = 'k3Jx0dQ2pA8';
const world = new TestClock();

let keys: RelayKeys;
let host: RelayRecipient;
beforeAll(async () => {
  keys = await RelayKeys.create({ hostKeys: await generateHostKeys(), environment: world, wallClock: world.now });
  host = await verifyAnnouncement(await keys.announcement(), { now: 0 });
});

/** One end of a path, and what has happened there. */
class End<Kind extends Path = Path> {
  readonly path: Kind;
  readonly messages: Buffer[] = [];
  readonly closed = vi.fn<(reason: string) => void>();
  readonly drained = vi.fn();

  constructor(path: Kind, start = true) {
    this.path = path;
    if (start) this.start();
  }

  start(): void {
    this.path.start({
      message: (message) => {
        expect(this.closed).not.toHaveBeenCalled();
        this.messages.push(Buffer.from(message));
      },
      drained: this.drained,
      closed: this.closed,
    });
  }

  get texts(): string[] {
    return this.messages.map(String);
  }

  send(...texts: string[]): void {
    for (const text of texts) this.path.send(Buffer.from(text));
  }
}

type Side = 'client' | 'agent';
/** What the middle makes of the message with this number from that side. */
type Tamper = (message: Uint8Array, from: Side, number: number) => Uint8Array[];

interface LineOptions extends MemoryPathOptions, SealedPathOptions {
  tamper?: Tamper;
  agentSessionId?: string;
  agentKeys?: RelayKeys;
  to?: RelayRecipient;
}

/** A client and an agent with an edge between them that sees everything and may do anything. */
function line({
  tamper = (message) => [message],
  agentSessionId = ID,
  agentKeys = keys,
  to = host,
  ...options
}: LineOptions = {}) {
  const [clientInner, clientSide] = memoryPaths(options);
  const [agentInner, agentSide] = memoryPaths(options);
  const wire: { from: Side; message: Buffer }[] = [];
  const forward = (from: Side, near: Path, far: Path) => {
    let number = 0;
    near.start({
      message: (message) => {
        wire.push({ from, message: Buffer.from(message) });
        for (const changed of tamper(message, from, number++)) far.send(changed);
      },
      drained: () => {},
      closed: () => far.close(),
    });
  };
  const client = new End(sealedClientPath(clientInner, to, ID, options));
  const agent = new End(sealedAgentPath(agentInner, agentKeys, agentSessionId, options));
  forward('client', clientSide, agentSide);
  forward('agent', agentSide, clientSide);
  return { client, agent, wire, edge: { toClient: clientSide, toAgent: agentSide } };
}

/** Keys and ciphertexts come from threads, so tests wait for results; how long is no part of any test. */
const SOON = { timeout: 20_000, interval: 1 };
const untilClosed = (end: End) => vi.waitFor(() => expect(end.closed).toHaveBeenCalledOnce(), SOON);
const untilTexts = (end: End, ...texts: string[]) => vi.waitFor(() => expect(end.texts).toEqual(texts), SOON);

/** Turns of the event loop in which runtime threads can finish what they have. */
const aWhile = () => new Promise<void>((resolve) => setTimeout(resolve, 20));

describe('a sealed pair', () => {
  test('has a binding of its own, which both ends know when the first message is there', async () => {
    const [one, other] = [line(), line()];
    for (const { client, agent } of [one, other]) {
      client.send('one');
      await untilTexts(agent, 'one');
    }
    const bindings = [one, other].map(({ client, agent }) => [client.path, agent.path].map(({ binding }) => binding));
    expect(bindings[0]?.[0]).toHaveLength(32);
    expect(bindings[0]?.[0]).toEqual(bindings[0]?.[1]);
    expect(bindings[1]?.[0]).toEqual(bindings[1]?.[1]);
    expect(bindings[0]?.[0]).not.toEqual(bindings[1]?.[0]);
    expect(await one.client.path.bound).toBe(one.client.path.binding);
  });

  test('carries messages both ways, the client’s first without hearing anything before', async () => {
    const { client, agent, wire } = line();
    client.send('one', 'two');
    await untilTexts(agent, 'one', 'two');
    expect(wire.every(({ from }) => from === 'client')).toBe(true);
    agent.send('three');
    await untilTexts(client, 'three');
  });

  test('shows the middle nothing but sizes', async () => {
    const { client, agent, wire } = line();
    const secret = 'a prompt that is nobody’s business, long enough to be found';
    client.send(secret, secret);
    await untilTexts(agent, secret, secret);
    agent.send(secret, secret);
    await untilTexts(client, secret, secret);
    const length = Buffer.byteLength(secret);
    expect(wire.map(({ message }) => message.length - length)).toEqual([SEAL_OVERHEAD_BYTES, 16, 16, 16]);
    const pieces = wire.flatMap(({ message }) => [...message.keys()].map((at) => message.toString('hex', at, at + 8)));
    for (let at = 0; at + 8 <= length; at++) {
      expect(pieces).not.toContain(Buffer.from(secret).toString('hex', at, at + 8));
    }
    expect(new Set(wire.map(({ message }) => message.toString('hex', message.length - 60))).size).toBe(4);
  });

  test('keeps any sizes in order, whoever is slow', async () => {
    const sizes = fc.array(fc.oneof(fc.nat(40), fc.nat(2000)), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(sizes, sizes, fc.infiniteStream(fc.nat(3)), fc.boolean(), async (there, back, pauses, late) => {
        let carrying = Promise.resolve();
        const carry = (deliver: () => void) => {
          // In order, after some turns of the event loop.
          carrying = carrying.then(async () => {
            for (let n = pauses.next().value; n > 0; n--) await new Promise<void>((next) => setImmediate(next));
            deliver();
          });
        };
        const { client, agent } = line({ carry: late ? carry : (deliver) => deliver(), maxMessageBytes: 2056 });
        const message = (size: number, i: number) => Buffer.alloc(size, i + 1);
        const both = Math.max(there.length, back.length);
        for (let i = 0; i < both; i++) {
          if (i < there.length) client.path.send(message(there[i] as number, i));
          if (i < back.length) agent.path.send(message(back[i] as number, i));
          for (let n = pauses.next().value; n > 1; n--) await new Promise<void>((next) => setImmediate(next));
        }
        await vi.waitFor(() => expect(agent.messages).toEqual(there.map(message)), SOON);
        // The agent's wait for the client's first message.
        const expected = there.length === 0 ? [] : back.map(message);
        await vi.waitFor(() => expect(client.messages).toEqual(expected), SOON);
        client.path.close();
        await untilClosed(agent);
      }),
      { numRuns: 40 },
    );
  });

  test('takes messages of its own limit, which leaves room for the first one’s overhead', async () => {
    const { client, agent, wire } = line();
    const { maxMessageBytes } = client.path;
    expect(maxMessageBytes).toBe(MAX_MESSAGE_BYTES - SEAL_OVERHEAD_BYTES);
    expect(agent.path.maxMessageBytes).toBe(maxMessageBytes);
    client.path.send(new Uint8Array(maxMessageBytes));
    await vi.waitFor(() => expect(agent.messages.length).toBe(1), SOON);
    expect(wire[0]?.message.length).toBe(MAX_MESSAGE_BYTES);
    expect(() => client.path.send(new Uint8Array(maxMessageBytes + 1))).toThrow(RangeError);
  });

  test('keeps no reference to what was sent, even a Buffer', async () => {
    const { client, agent } = line();
    for (const text of ['one', 'two']) {
      const buffer = Buffer.from(text);
      client.path.send(buffer);
      buffer.fill(0);
    }
    await untilTexts(agent, 'one', 'two');
  });

  test('delivers what came before start', async () => {
    const [left, right] = memoryPaths();
    const client = new End(sealedClientPath(left, host, ID));
    const agent = new End(sealedAgentPath(right, keys, ID), false);
    client.send('early', 'too');
    await aWhile();
    agent.start();
    await untilTexts(agent, 'early', 'too');
  });

  test('of two is not one of the other: each has its own keys', async () => {
    const { wire: first, ...one } = line();
    const { wire: second, ...two } = line();
    one.client.send('same');
    two.client.send('same');
    await untilTexts(one.agent, 'same');
    await untilTexts(two.agent, 'same');
    expect(first[0]?.message.subarray(8)).not.toEqual(second[0]?.message.subarray(8));
  });
});

describe('what the middle does to messages ends the path, and nobody takes them', () => {
  const SENT = ['first', 'second', 'third'];

  /** Both ends send; returns what they had got when both had closed. */
  async function play(side: Side, change: (message: Uint8Array, number: number) => Uint8Array[]) {
    const { client, agent, wire } = line({
      tamper: (message, from, number) => (from === side ? change(message, number) : [message]),
    });
    client.send(...SENT);
    agent.send(...SENT);
    await Promise.all([untilClosed(client), untilClosed(agent)]);
    await aWhile();
    const receiver = side === 'client' ? agent : client;
    return { got: receiver.texts, wire, reason: receiver.closed.mock.lastCall?.[0] };
  }

  test.each<Side>(['client', 'agent'])('any byte of any message of the %s, changed', async (side) => {
    const overhead = (number: number) => (side === 'client' && number === 0 ? SEAL_OVERHEAD_BYTES : 16);
    const places = SENT.flatMap((text, number) =>
      Array.from({ length: text.length + overhead(number) }, (_, at) => ({ number, at })),
    );
    const played = places.map(async ({ number, at }) => {
      const { got, wire } = await play(side, (message, n) => {
        const changed = new Uint8Array(message);
        if (n === number) changed[at] = (changed[at] as number) ^ (1 << (at % 8));
        return [changed];
      });
      expect(got).toEqual(SENT.slice(0, number));
      // An agent that could not open the first message has not said a word.
      if (side === 'client' && number === 0) expect(wire.some(({ from }) => from === 'agent')).toBe(false);
    });
    await Promise.all(played);
  });

  const edits: [name: string, edit: (message: Uint8Array) => Uint8Array][] = [
    ['cut to nothing', (message) => message.subarray(0, 0)],
    ['cut to its first byte', (message) => message.subarray(0, 1)],
    ['cut to what a tag is long', (message) => message.subarray(0, 16)],
    ['without its first byte', (message) => message.subarray(1)],
    ['without its last byte', (message) => message.subarray(0, -1)],
    ['with a byte before it', (message) => Buffer.concat([Buffer.alloc(1), message])],
    ['with a byte after it', (message) => Buffer.concat([message, Buffer.alloc(1)])],
  ];
  const targets = (['client', 'agent'] as const).flatMap((side) => [0, 1].map((number) => ({ side, number })));
  test.each(edits)('a message %s', async (_name, edit) => {
    for (const { side, number } of targets) {
      const { got } = await play(side, (message, n) => [n === number ? edit(message) : message]);
      expect(got).toEqual(SENT.slice(0, number));
    }
  });

  test.each([0, 7, 8, PREFACE_BYTES - 1, PREFACE_BYTES, PREFACE_BYTES + 15])(
    'the first message cut to %i bytes',
    async (length) => {
      const { got, wire } = await play('client', (message, n) => [n === 0 ? message.subarray(0, length) : message]);
      expect(got).toEqual([]);
      expect(wire.some(({ from }) => from === 'agent')).toBe(false);
    },
  );

  test('one exchanged with the next', async () => {
    for (const { side, number } of targets) {
      let held: Uint8Array[] = [];
      const { got } = await play(side, (message, n) => {
        if (n === number) held = [message];
        return n === number ? [] : n === number + 1 ? [message, ...held] : [message];
      });
      expect(got).toEqual(SENT.slice(0, number));
    }
  });

  test('one sent twice', async () => {
    for (const { side, number } of targets) {
      const { got } = await play(side, (message, n) => (n === number ? [message, message] : [message]));
      expect(got).toEqual(SENT.slice(0, number + 1));
    }
  });

  test('one left out', async () => {
    for (const { side, number } of targets) {
      const { got } = await play(side, (message, n) => (n === number ? [] : [message]));
      expect(got).toEqual(SENT.slice(0, number));
    }
  });

  test('one sent back to its sender', async () => {
    for (const from of ['client', 'agent'] as const) {
      const { client, agent, wire, edge } = line();
      client.send('there');
      agent.send('back');
      await untilTexts(client, 'back');
      const own = wire.find((entry) => entry.from === from)?.message as Buffer;
      (from === 'client' ? edge.toClient : edge.toAgent).send(own);
      await Promise.all([untilClosed(client), untilClosed(agent)]);
      expect([client.texts, agent.texts]).toEqual([['back'], ['there']]);
    }
  });

  test('one of another path', async () => {
    const other = line();
    other.client.send('theirs', 'theirs');
    other.agent.send('theirs');
    await untilTexts(other.client, 'theirs');
    for (const { from, message } of other.wire) {
      const { client, agent, edge } = line();
      client.send('there');
      agent.send('back');
      await untilTexts(client, 'back');
      (from === 'client' ? edge.toAgent : edge.toClient).send(message);
      await Promise.all([untilClosed(client), untilClosed(agent)]);
      expect([client.texts, agent.texts]).toEqual([['back'], ['there']]);
    }
  });

  test('one that the edge made up before the client said anything', async () => {
    const { client, agent, edge } = line();
    edge.toClient.send(new Uint8Array(100));
    await Promise.all([untilClosed(client), untilClosed(agent)]);
    expect(client.closed.mock.lastCall?.[0]).toContain('could not be opened');
  });
});

describe('the agent takes nothing', () => {
  /** What a client of `options` sends is refused in silence. */
  async function refused(options: LineOptions): Promise<string | undefined> {
    const { client, agent, wire } = line(options);
    client.send('hello', 'hello');
    agent.send('an answer');
    await Promise.all([untilClosed(client), untilClosed(agent)]);
    expect(agent.texts).toEqual([]);
    expect(wire.some(({ from }) => from === 'agent')).toBe(false);
    return agent.closed.mock.lastCall?.[0];
  }

  async function otherKeys(clock = new TestClock()) {
    return await RelayKeys.create({ hostKeys: await generateHostKeys(), environment: clock, wallClock: clock.now });
  }

  test('from a path of another signaling session', async () => {
    expect(await refused({ agentSessionId: `${ID}_` })).toContain('could not be opened');
  });

  test('that is sealed to another host', async () => {
    expect(await refused({ agentKeys: await otherKeys() })).toContain('does not have');
  });

  test('from a client that thinks it is another host', async () => {
    const impostor = await otherKeys();
    const { hostKey } = await verifyAnnouncement(await impostor.announcement(), { now: 0 });
    expect(await refused({ to: { hostKey, relayKey: host.relayKey } })).toContain('could not be opened');
  });

  test('that is repeated on another path, now, after a rotation, or after the end of the key', async () => {
    const clock = new TestClock();
    const agentKeys = await otherKeys(clock);
    const to = await verifyAnnouncement(await agentKeys.announcement(), { now: 0 });
    const { client, agent, wire } = line({ agentKeys, to });
    client.send('run this once', 'and this');
    await untilTexts(agent, 'run this once', 'and this');
    for (const [wait, reason] of [
      [0, 'twice'],
      [RELAY_KEY_ROTATION_MS, 'twice'],
      [RELAY_KEY_LIFETIME_MS - RELAY_KEY_ROTATION_MS, 'does not have'],
    ] as const) {
      await clock.advance(wait);
      const [left, right] = memoryPaths();
      const heard = new End(left);
      const again = new End(sealedAgentPath(right, agentKeys, ID));
      for (const { message } of wire) left.send(message);
      await untilClosed(again);
      await untilClosed(heard);
      expect([again.texts, heard.messages]).toEqual([[], []]);
      expect(again.closed.mock.lastCall?.[0]).toContain(reason);
    }
    // The path that was there before does not need the relay key any more.
    agent.send('still here');
    await untilTexts(client, 'still here');
    client.send('me too');
    await untilTexts(agent, 'run this once', 'and this', 'me too');
  });

  test('from a client without keys: a relay key that is no key closes the client’s end', async () => {
    const { client, agent, wire } = line({ to: { ...host, relayKey: new Uint8Array(32) } });
    client.send('hello');
    await Promise.all([untilClosed(client), untilClosed(agent)]);
    expect(client.closed).toHaveBeenCalledWith('the keys could not be agreed on');
    expect(wire).toEqual([]);
  });
});

describe('limits', () => {
  test('more messages than can be opened end the path', async () => {
    const { client, agent, edge } = line({ maxUnopenedBytes: 10_000 });
    client.send('hello');
    await untilTexts(agent, 'hello');
    for (let n = 0; n < 50; n++) edge.toAgent.send(new Uint8Array(1));
    expect(agent.closed).toHaveBeenCalledWith('more has arrived than can be opened');
    await untilClosed(client);
  });

  test('keys seal only so many messages', async () => {
    const { client, agent } = line({ maxSealedMessages: 3 });
    client.send('1', '2', '3');
    await untilTexts(agent, '1', '2', '3');
    client.send('4');
    expect(client.closed).toHaveBeenCalledWith('the keys are used up');
    await untilClosed(agent);
    expect(agent.texts).toEqual(['1', '2', '3']);
  });
});

describe('capacity', () => {
  test('counts what waits to be sealed, and drained says when there is some again', async () => {
    const { client, agent } = line({ queueBytes: 100 });
    expect(client.path.capacity()).toBe(100);
    client.path.send(new Uint8Array(60));
    expect(client.path.capacity()).toBe(40);
    client.path.send(new Uint8Array(60));
    expect(client.path.capacity()).toBe(-20);
    await vi.waitFor(() => expect(client.drained).toHaveBeenCalledOnce(), SOON);
    await vi.waitFor(() => expect(agent.messages.length).toBe(2), SOON);
    expect(client.path.capacity()).toBe(100);
    client.path.close();
    expect(client.path.capacity()).toBe(0);
  });

  test('an agent without keys takes no more than fits', async () => {
    const { agent } = line({ queueBytes: 100 });
    agent.path.send(new Uint8Array(100));
    await aWhile();
    expect(agent.path.capacity()).toBe(0);
  });

  test('that comes back below while messages wait above is not missed', async () => {
    let below = 10;
    const inner: Path = {
      maxMessageBytes: 1000,
      capacity: () => below,
      send: () => {},
      close: () => {},
      start: () => {},
    };
    const end = new End(sealedClientPath(inner, host, ID));
    end.path.send(new Uint8Array(20));
    expect(end.path.capacity()).toBe(-10);
    // The inner path was never full, so it will not say that it has drained.
    below = 100;
    await vi.waitFor(() => expect(end.drained).toHaveBeenCalledOnce(), SOON);
  });

  test('a sender that obeys it gets everything through', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(300), { maxLength: 60 }),
        fc.integer({ min: 1, max: 400 }),
        async (sizes, queueBytes) => {
          const { client, agent } = line({ queueBytes, carry: (deliver) => void setImmediate(deliver) });
          let next = 0;
          const flush = () => {
            while (next < sizes.length && client.path.capacity() > 0)
              client.path.send(Buffer.alloc(sizes[next] as number, next++));
          };
          client.drained.mockImplementation(flush);
          flush();
          await vi.waitFor(() => expect(agent.messages.length).toBe(sizes.length), SOON);
          expect(agent.messages).toEqual(sizes.map((size, i) => Buffer.alloc(size, i)));
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('the end', () => {
  test('is told at once to who closes, after everything to the other one', async () => {
    const { client, agent } = line();
    const sent = Array.from({ length: 50 }, (_, i) => `message ${i}`);
    client.send(...sent);
    client.path.close();
    expect(client.closed.mock.calls).toEqual([['closed by this end']]);
    client.send('too late');
    client.path.close();
    await untilClosed(agent);
    expect(agent.texts).toEqual(sent);
    await aWhile();
    expect(client.closed).toHaveBeenCalledOnce();
    expect(agent.closed).toHaveBeenCalledOnce();
  });

  test('by the agent lets its answers leave too', async () => {
    const { client, agent } = line();
    client.send('hello');
    await untilTexts(agent, 'hello');
    agent.send('one', 'two');
    agent.path.close();
    await untilClosed(client);
    expect(client.texts).toEqual(['one', 'two']);
  });

  test('by an agent that has no keys waits for nothing', async () => {
    const { client, agent, wire } = line();
    agent.send('hello');
    agent.path.close();
    expect(agent.closed).toHaveBeenCalledOnce();
    expect(client.closed).toHaveBeenCalledOnce();
    await aWhile();
    expect(wire).toEqual([]);
  });

  test('by an agent that has opened nothing yet waits for nothing either', async () => {
    const { client, agent, wire, edge } = line({ tamper: () => [] });
    client.send('hello');
    await vi.waitFor(() => expect(wire.length).toBe(1), SOON);
    agent.send('an answer');
    edge.toAgent.send(wire[0]?.message as Buffer);
    agent.path.close();
    expect(client.closed).toHaveBeenCalledOnce();
    await aWhile();
    expect([agent.texts, wire.length]).toEqual([[], 1]);
  });

  test('below comes after what had arrived before it', async () => {
    const { client, agent, wire, edge } = line({ tamper: () => [] });
    client.send('one', 'two');
    await vi.waitFor(() => expect(wire.length).toBe(2), SOON);
    for (const { message } of wire) edge.toAgent.send(message);
    edge.toAgent.close();
    expect(agent.closed).not.toHaveBeenCalled();
    expect(agent.path.capacity()).toBe(0);
    await untilClosed(agent);
    expect(agent.texts).toEqual(['one', 'two']);
    expect(agent.closed).toHaveBeenCalledWith('closed by the peer');
  });

  test('stops delivery at once', async () => {
    const { client, agent, wire, edge } = line({ tamper: () => [] });
    client.send('one', 'two', 'three');
    await vi.waitFor(() => expect(wire.length).toBe(3), SOON);
    const push = agent.messages.push.bind(agent.messages);
    vi.spyOn(agent.messages, 'push').mockImplementation((message) => {
      agent.path.close();
      return push(message);
    });
    for (const { message } of wire) edge.toAgent.send(message);
    await untilClosed(agent);
    await aWhile();
    expect(agent.texts).toEqual(['one']);
  });

  test('before start is told at start', async () => {
    const [left, right] = memoryPaths();
    const other = new End(right);
    const client = new End(sealedClientPath(left, { ...host, relayKey: new Uint8Array(32) }, ID), false);
    await untilClosed(other);
    await expect(client.path.bound).rejects.toMatchObject({ code: 'E_PATH_LOST' });
    client.start();
    expect(client.closed.mock.calls).toEqual([['the keys could not be agreed on']]);
  });
});

describe('a session over it', () => {
  async function readAll(stream: Stream): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for (let part = await stream.read(); part !== null; part = await stream.read()) parts.push(part);
    return Buffer.concat(parts);
  }

  function sessions() {
    const [left, right] = memoryPaths();
    const accepted: Stream[] = [];
    const closed = vi.fn();
    const agent = agentSession({
      sessionId: ID,
      path: sealedAgentPath(right, keys, ID),
      environment: world,
      events: { stream: (stream) => accepted.push(stream), closed },
    });
    const client = clientSession({
      sessionId: ID,
      path: sealedClientPath(left, host, ID),
      environment: world,
    });
    return { client, agent, accepted, closed };
  }

  test('carries streams in both directions, longer than any credit', async () => {
    const { client, accepted } = sessions();
    const body = Buffer.alloc(3_000_000, 'all work and no play ');
    const stream = client.openStream();
    const sent = stream.write(body).then(() => stream.finish());
    await vi.waitFor(() => expect(accepted.length).toBe(1), SOON);
    const served = accepted[0] as Stream;
    expect((await readAll(served)).equals(body)).toBe(true);
    await sent;
    const answered = served.write(body).then(() => served.finish());
    expect((await readAll(stream)).equals(body)).toBe(true);
    await answered;
  });

  test('says why it ends', async () => {
    const { client, agent, closed } = sessions();
    client.openStream();
    await vi.waitFor(() => expect(agent.active?.isOpen).toBe(true), SOON);
    client.close('E_GOING_AWAY', 'the page was closed');
    await vi.waitFor(() => expect(closed).toHaveBeenCalledOnce(), SOON);
    expect(agent.error).toMatchObject({ code: 'E_GOING_AWAY', detail: 'the page was closed' });
  });
});
