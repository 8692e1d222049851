/** Who is let in when HELLO has come: nothing of a path is looked at before, and a session has one owner. */
import { describe, expect, test, vi } from 'vitest';
import { encodeBase64url } from './base64url.ts';
import type { DeviceProof } from './device-identity.ts';
import { DirectError, ERRORS } from './errors.ts';
import { decodeFrames, encodeFrames, type Frame } from './frame.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_MESSAGE_BYTES, MAX_UNADMITTED_BYTES } from './limits.ts';
import { type AcceptOptions, Sessions } from './sessions.ts';
import type { Stream } from './stream.ts';
import { Pair, SIGNALING } from './test-pair.ts';
import { Wire, World } from './test-world.ts';

const device = (seed: number): DeviceProof => ({
  key: encodeBase64url(new Uint8Array(32).fill(seed)),
  signature: encodeBase64url(new Uint8Array(64)),
});
const hello = (members: Record<string, unknown> = {}): Frame => ({
  type: 'HELLO',
  json: JSON.stringify({ protocol_version: 1, session_id: SIGNALING, session: 'one', device: device(1), ...members }),
});
const stream = (id: number): Frame => ({ type: 'STREAM', id, offset: 0, data: Buffer.from('x'), fin: true });

/** A table that asks the test whom to admit. */
function door() {
  const world = new World();
  const streams: Stream[] = [];
  const asked: {
    path: AcceptOptions;
    device: DeviceProof | undefined;
    admit(owner?: string): Promise<void>;
    refuse(error: unknown): Promise<void>;
  }[] = [];
  const sessions = new Sessions({
    environment: world,
    stream: (opened) => streams.push(opened),
    admit: (path, proof) => {
      const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
      const then = async () => world.advance(0);
      asked.push({
        path,
        device: proof,
        admit: (owner) => Promise.resolve(resolve(owner)).then(then),
        refuse: (error) => Promise.resolve(reject(error)).then(then),
      });
      return promise;
    },
  });
  const dial = (options: Partial<AcceptOptions> = {}) => {
    const wire = new Wire(world);
    const heard: Frame[] = [];
    wire.client.start({ message: (m) => heard.push(...decodeFrames(m)), drained: () => {}, closed: () => {} });
    const opened = vi.fn<() => void>();
    const ended = vi.fn<(error: DirectError) => void>();
    const accepted = sessions.accept(
      wire.agent,
      { sessionId: SIGNALING, kind: 'relay', ...options },
      { opened, ended },
    );
    const say = async (...frames: Frame[]) => {
      wire.client.send(encodeFrames(frames));
      await world.advance(0);
    };
    const refused = () => heard.find((frame) => frame.type === 'CONNECTION_CLOSE')?.code;
    return { wire, heard, opened, ended, accepted, say, refused };
  };
  return { world, sessions, streams, asked, dial };
}

describe('before a path is admitted', () => {
  test('nothing that follows HELLO is looked at, and then all of it, in order', async () => {
    const { dial, streams, asked, sessions } = door();
    const client = dial();
    await client.say(hello(), { type: 'PING', nonce: 7 }, stream(0));
    await client.say(stream(1));
    await client.say(stream(2));
    expect([streams.length, sessions.size, client.heard.length, client.accepted.isOpen]).toEqual([0, 0, 0, false]);
    await asked[0]?.admit('me');
    expect(streams.map(({ id }) => id)).toEqual([0, 1, 2]);
    expect(client.heard.map(({ type }) => type).slice(0, 2)).toEqual(['HELLO', 'PONG']);
    expect([client.opened.mock.calls.length, client.accepted.isOpen]).toEqual([1, true]);
  });

  test('the one who decides is told what path it is, and whose device', async () => {
    const { dial, asked } = door();
    await dial({ grant: 'in-heads', from: 'somewhere' }).say(hello());
    await dial().say(hello({ device: undefined }));
    expect(asked.map(({ path, device: proof }) => [path, proof])).toEqual([
      [{ sessionId: SIGNALING, kind: 'relay', grant: 'in-heads', from: 'somewhere' }, device(1)],
      [{ sessionId: SIGNALING, kind: 'relay' }, undefined],
    ]);
  });

  test('a refusal ends it with its code, and what waited is never run', async () => {
    const { dial, streams, asked, sessions, world } = door();
    const client = dial();
    await client.say(hello(), stream(0));
    await asked[0]?.refuse(new DirectError('E_DEVICE_UNKNOWN'));
    await client.say(stream(1));
    expect(client.refused()).toBe(ERRORS.E_DEVICE_UNKNOWN.close);
    expect(client.ended.mock.calls.map(([error]) => error.code)).toEqual(['E_DEVICE_UNKNOWN']);
    expect([streams.length, sessions.size, world.pending]).toEqual([0, 0, 0]);
  });

  test('a failure of the one who decides refuses, and tells nothing of itself', async () => {
    const { dial, asked, sessions } = door();
    const client = dial();
    await client.say(hello());
    await asked[0]?.refuse(new Error('ENOSPC: devices.json'));
    expect(client.heard).toEqual([{ type: 'CONNECTION_CLOSE', code: ERRORS.E_INTERNAL.close, reason: '' }]);
    expect(sessions.size).toBe(0);
  });

  test('the time for HELLO goes on, and a late permission changes nothing', async () => {
    const { dial, asked, sessions, streams, world } = door();
    const client = dial();
    await client.say(hello(), stream(0));
    await world.advance(HANDSHAKE_TIMEOUT_MS);
    expect(client.refused()).toBe(ERRORS.E_HANDSHAKE_TIMEOUT.close);
    await asked[0]?.admit('me');
    expect([client.opened.mock.calls.length, sessions.size, streams.length, world.pending]).toEqual([0, 0, 0, 0]);
  });

  test('a client that leaves is forgotten', async () => {
    const { dial, asked, sessions, world } = door();
    const client = dial();
    await client.say(hello(), stream(0));
    client.wire.agent.end('cut');
    await world.advance(0);
    await asked[0]?.admit('me');
    expect([client.ended.mock.calls.length, sessions.size, world.pending]).toEqual([1, 0, 0]);
  });

  test('a stranger can make the agent hold little, however he cuts it', async () => {
    for (const size of [MAX_MESSAGE_BYTES, 3]) {
      const { dial, asked, streams, world } = door();
      const client = dial();
      await client.say(hello());
      let sent = 0;
      while (client.refused() === undefined && sent < 2 * MAX_UNADMITTED_BYTES) {
        client.wire.client.send(new Uint8Array(size));
        sent += size;
        await world.advance(0);
      }
      expect(client.refused()).toBe(ERRORS.E_FLOW_CONTROL.close);
      expect(sent).toBeLessThanOrEqual(MAX_UNADMITTED_BYTES + size);
      await asked[0]?.admit('me');
      expect(streams.length).toBe(0);
    }
  });

  test('garbage after HELLO waits too, and is a violation of the session then', async () => {
    const { dial, asked, sessions } = door();
    const client = dial();
    await client.say(hello());
    client.wire.client.send(Uint8Array.of(0xff, 0xff));
    await asked[0]?.admit('me');
    expect([client.refused(), sessions.size]).toEqual([ERRORS.E_PROTOCOL.close, 0]);
  });

  test.each([true, false])('HELLO twice asks once and is a violation, in one message: %s', async (together) => {
    const { dial, asked, sessions } = door();
    const client = dial();
    if (together) await client.say(hello(), hello({ device: device(2) }), stream(0));
    else await client.say(hello());
    if (!together) await client.say(hello({ device: device(2) }), stream(0));
    expect(asked.length).toBe(1);
    await asked[0]?.admit('me');
    expect([asked.length, client.refused(), sessions.size]).toEqual([1, ERRORS.E_PROTOCOL.close, 0]);
  });

  test('a session that is resumed and not known is refused once its client was admitted', async () => {
    const { dial, asked, sessions, streams } = door();
    const client = dial();
    await client.say(hello({ resumed: true }), stream(0));
    expect(client.refused()).toBeUndefined();
    await asked[0]?.admit('me');
    expect([client.refused(), sessions.size, streams.length]).toEqual([ERRORS.E_HOST_RESTARTED.close, 0, 0]);
  });

  test('the agent that stops admits nobody any more', async () => {
    const { dial, asked, sessions } = door();
    const client = dial();
    await client.say(hello());
    sessions.close('E_GOING_AWAY');
    await asked[0]?.admit('me');
    expect([client.refused(), sessions.size]).toEqual([ERRORS.E_GOING_AWAY.close, 0]);
  });

  test('what is wrong with HELLO is said without asking', async () => {
    const { dial, asked } = door();
    const [foreign, malformed] = [dial(), dial()];
    await foreign.say(hello({ session_id: 'other' }));
    await malformed.say(hello({ device: { key: 'x' } }));
    expect([foreign.refused(), malformed.refused(), asked.length]).toEqual([
      ERRORS.E_SESSION_UNKNOWN.close,
      ERRORS.E_PROTOCOL.close,
      0,
    ]);
  });
});

describe('a session', () => {
  test('takes no path of anyone but its owner', async () => {
    const { dial, asked, sessions, streams } = door();
    const [own, second, foreign, nobody] = [dial(), dial(), dial(), dial()];
    for (const client of [own, second, foreign, nobody]) await client.say(hello(), stream(0));
    await asked[0]?.admit('me');
    await asked[1]?.admit('me');
    await asked[2]?.admit('somebody else');
    await asked[3]?.admit(undefined);
    expect([own, second, foreign, nobody].map(({ refused }) => refused())).toEqual([
      undefined,
      undefined,
      ERRORS.E_DEVICE_UNKNOWN.close,
      ERRORS.E_DEVICE_UNKNOWN.close,
    ]);
    // The stream of the second path is the one of the first.
    expect([sessions.size, streams.length]).toEqual([1, 1]);
  });

  test('of nobody is not taken over by somebody', async () => {
    const { dial, asked } = door();
    const [open, foreign] = [dial(), dial()];
    for (const client of [open, foreign]) await client.say(hello());
    await asked[0]?.admit(undefined);
    await asked[1]?.admit('me');
    expect([open.refused(), foreign.refused()]).toEqual([undefined, ERRORS.E_DEVICE_UNKNOWN.close]);
  });

  test('ends with its owner’s rights, and no other does', async () => {
    const { dial, asked, sessions, world } = door();
    const [mine, other] = [dial(), dial()];
    await mine.say(hello());
    await other.say(hello({ session: 'two' }));
    await asked[0]?.admit('me');
    await asked[1]?.admit('somebody else');
    sessions.closeOf('me', 'E_DEVICE_UNKNOWN');
    await world.advance(0);
    expect([mine.refused(), other.refused(), sessions.size]).toEqual([ERRORS.E_DEVICE_UNKNOWN.close, undefined, 1]);
  });
});

describe('a client with a proof to make', () => {
  test('says HELLO with it when it is made, and nothing before', async () => {
    const pair = new Pair({ agent: { admit: async (_path, proof) => proof?.key } });
    const made = Promise.withResolvers<DeviceProof>();
    const wire = new Wire(pair.world);
    pair.sessions.accept(wire.agent, { sessionId: SIGNALING, kind: 'relay' });
    const sent = vi.spyOn(wire.client, 'send');
    const link = pair.client.attach(wire.client, { sessionId: SIGNALING, kind: 'relay', prove: () => made.promise });
    const opened = pair.client.openStream();
    void opened.write(Buffer.from('x'));
    await pair.world.advance(1000);
    expect([sent.mock.calls.length, pair.client.active]).toEqual([0, undefined]);
    made.resolve(device(1));
    await pair.world.advance(100);
    expect(decodeFrames(sent.mock.calls[0]?.[0] ?? new Uint8Array())[0]).toMatchObject({ type: 'HELLO' });
    expect([link.isOpen, pair.streams.length, pair.client.isEstablished]).toEqual([true, 1, true]);
  });

  test('makes one when it is due: the second path’s after the first was answered', async () => {
    const order: string[] = [];
    const pair = new Pair({
      agent: {
        admit: async ({ kind }) => {
          order.push(`admitted ${kind}`);
          return 'me';
        },
      },
    });
    for (const kind of ['relay', 'direct'] as const) {
      const wire = new Wire(pair.world, { delayMs: 10 });
      pair.sessions.accept(wire.agent, { sessionId: SIGNALING, kind });
      const prove = async () => {
        order.push(`asked for ${kind}`);
        return device(1);
      };
      pair.client.attach(wire.client, { sessionId: SIGNALING, kind, prove });
    }
    await pair.world.advance(200);
    expect(order).toEqual(['asked for relay', 'admitted relay', 'asked for direct', 'admitted direct']);
    expect(pair.client.active?.kind).toBe('direct');
  });

  test('goes on by another path when it cannot be made, or the path ends meanwhile', async () => {
    const pair = new Pair();
    const failing = new Wire(pair.world);
    const slow = new Wire(pair.world);
    const made = Promise.withResolvers<DeviceProof>();
    const attach = (wire: Wire, prove: () => Promise<DeviceProof | undefined>) => {
      pair.sessions.accept(wire.agent, { sessionId: SIGNALING, kind: 'relay' });
      return pair.client.attach(wire.client, { sessionId: SIGNALING, kind: 'relay', prove });
    };
    attach(failing, async () => Promise.reject(new Error('no key')));
    attach(slow, () => made.promise);
    const third = attach(new Wire(pair.world), async () => undefined);
    await pair.world.advance(0);
    slow.client.close();
    made.resolve(device(1));
    await pair.world.advance(100);
    expect([pair.client.active, third.isOpen, pair.client.links.length]).toEqual([third, true, 1]);
  });
});
