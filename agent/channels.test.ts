import { describe, expect, test } from 'vitest';
import { type ChannelControl, type ChannelOpen, decodeEnvelope, encodeEnvelope } from '../shared/channel.ts';
import { ClientExchange } from '../shared/exchange.ts';
import { decodeFrames } from '../shared/frame.ts';
import { MAX_CHANNELS, MAX_MESSAGE_BYTES, MAX_RELAYS, MAX_TUNNEL_CHANNELS } from '../shared/limits.ts';
import type { PathEvents } from '../shared/path.ts';
import type { Session } from '../shared/session.ts';
import { Sessions } from '../shared/sessions.ts';
import type { Stream } from '../shared/stream.ts';
import { TestClock } from '../shared/test-clock.ts';
import { clientSession } from '../shared/test-sessions.ts';
import { Channels, type LinkSocket } from './channels.ts';

/** The edge's end of a socket: keeps what it gets, and feeds it to sessions of its own. */
class Edge implements LinkSocket {
  bufferedAmount = 0;
  readonly texts: ChannelControl[] = [];
  readonly messages: { channel: number; message: Uint8Array }[] = [];
  readonly paths = new Map<number, PathEvents>();
  /** While set, messages stay in the socket's buffer. */
  blocked = false;
  #waiting: (() => void)[] = [];

  send(message: Uint8Array | string, done: () => void): void {
    const size = message.length;
    this.bufferedAmount += size;
    const leave = () => {
      this.bufferedAmount -= size;
      if (typeof message === 'string') this.texts.push(JSON.parse(message) as ChannelControl);
      else {
        const envelope = decodeEnvelope(message);
        this.messages.push(envelope);
        this.paths.get(envelope.channel)?.message(envelope.message);
      }
      done();
    };
    if (this.blocked) this.#waiting.push(leave);
    else queueMicrotask(leave);
  }

  unblock(): void {
    this.blocked = false;
    for (const leave of this.#waiting.splice(0)) leave();
  }
}

function rig(maxChannels?: number) {
  const clock = new TestClock();
  const edge = new Edge();
  const streams: Stream[] = [];
  const log: string[] = [];
  const sessions = new Sessions({ environment: clock, stream: (stream) => void streams.push(stream) });
  const accepted: ChannelOpen[] = [];
  const channels = new Channels({
    accept: (path, opened) => {
      accepted.push(opened);
      sessions.accept(
        path,
        { sessionId: opened.session_id, kind: 'relay' },
        { ended: (error) => void log.push(error.code) },
      );
    },
    log: (line) => void log.push(line),
    environment: clock,
    ...(maxChannels === undefined ? {} : { maxChannels }),
  });
  const open = (channel: number, sessionId = 'session') =>
    channels.control({ type: 'channel_open', channel, session_id: sessionId }, edge);
  /** A session of the edge on a channel. */
  const client = (channel: number) => {
    open(channel);
    return clientSession({
      sessionId: 'session',
      environment: { ...realTime, defer: (run) => queueMicrotask(run) },
      path: {
        maxMessageBytes: MAX_MESSAGE_BYTES,
        capacity: () => MAX_MESSAGE_BYTES,
        send: (message) => channels.message(encodeEnvelope(channel, message), edge),
        close: () => edge.paths.get(channel)?.closed('closed'),
        start: (events) => void edge.paths.set(channel, events),
      },
    });
  };
  return { clock, edge, sessions, channels, streams, log, accepted, open, client };
}

const realTime = { now: () => 0, timer: () => () => {} };
/** Sends a request, so that the agent has its stream. */
async function request(session: Session): Promise<ClientExchange> {
  const exchange = new ClientExchange(session.openStream());
  await exchange.sendHead({ method: 'GET', path: '/', headers: [] });
  exchange.finish();
  return exchange;
}
const dataIn = (messages: readonly { message: Uint8Array }[]) =>
  messages
    .flatMap(({ message }) => decodeFrames(message))
    .reduce((sum, frame) => sum + (frame.type === 'STREAM' ? frame.data.length : 0), 0);

describe('channels', () => {
  test('each has a session of its own, and streams go to the proxy', async () => {
    const { client, streams, clock, edge, channels } = rig();
    const [first, second] = [client(1), client(2)];
    await request(first);
    await request(second);
    await clock.advance(1);
    expect([channels.size, streams.length]).toEqual([2, 2]);
    expect([first.active?.isOpen, second.active?.isOpen]).toEqual([true, true]);
    expect(new Set(edge.messages.map(({ channel }) => channel))).toEqual(new Set([1, 2]));
  });

  test('whoever accepts one hears whether its client is the edge or on a relay', () => {
    const { channels, edge, accepted } = rig();
    const relayed: ChannelOpen = { type: 'channel_open', channel: 1, session_id: 'a', relay: true };
    const tunnelled: ChannelOpen = { type: 'channel_open', channel: 2, session_id: 'b' };
    channels.control(relayed, edge);
    channels.control(tunnelled, edge);
    expect(accepted).toEqual([relayed, tunnelled]);
  });

  test('one whose path is closed while it is accepted takes no place', async () => {
    const clock = new TestClock();
    const edge = new Edge();
    const channels = new Channels({
      accept: (path) => {
        path.close();
        return { close: () => {} };
      },
      log: () => {},
      environment: clock,
    });
    channels.control({ type: 'channel_open', channel: 1, session_id: 'a' }, edge);
    await clock.advance(1);
    expect([channels.size, edge.texts]).toEqual([0, [{ type: 'channel_close', channel: 1 }]]);
  });

  test('are as many as the edge may open for tunnel and relays', () => {
    expect(MAX_CHANNELS).toBeGreaterThanOrEqual(MAX_TUNNEL_CHANNELS + MAX_RELAYS);
  });

  test('closed by the edge: its requests are aborted, the others are not', async () => {
    const { client, streams, clock, channels, edge } = rig();
    await request(client(1));
    await request(client(2));
    await clock.advance(1);
    const aborted: string[] = [];
    for (const [i, stream] of streams.entries()) stream.onabort = ({ code }) => void aborted.push(`${i} ${code}`);
    channels.control({ type: 'channel_close', channel: 1 }, edge);
    channels.control({ type: 'channel_close', channel: 1 }, edge);
    channels.control({ type: 'channel_close', channel: 99 }, edge);
    expect([aborted, channels.size]).toEqual([['0 E_PATH_LOST'], 1]);
    // The edge knows already.
    expect(edge.texts).toEqual([]);
  });

  test('a lost socket ends all of them', async () => {
    const { client, streams, clock, channels } = rig();
    await request(client(1));
    await request(client(2));
    await clock.advance(1);
    let aborted = 0;
    for (const stream of streams) stream.onabort = () => void aborted++;
    channels.lost('cut');
    expect([aborted, channels.size]).toEqual([2, 0]);
  });

  test('an agent that stops says why, and closes', async () => {
    const { client, clock, channels, sessions, edge } = rig();
    const session = client(1);
    await request(session);
    await clock.advance(1);
    sessions.close('E_GOING_AWAY');
    await clock.advance(1);
    expect(session.error?.code).toBe('E_GOING_AWAY');
    expect(edge.texts).toEqual([{ type: 'channel_close', channel: 1 }]);
    expect(channels.size).toBe(0);
  });
});

describe('hostile messages', () => {
  test('garbage on one channel ends that one', async () => {
    const { client, clock, channels, edge, log } = rig();
    const other = client(2);
    await request(client(1));
    await request(other);
    await clock.advance(1);
    channels.message(encodeEnvelope(1, Uint8Array.of(0x3f)), edge);
    await clock.advance(1);
    expect(edge.texts).toEqual([{ type: 'channel_close', channel: 1 }]);
    expect([channels.size, other.error]).toEqual([1, undefined]);
    expect(log.join()).toContain('E_PROTOCOL');
  });

  test('a HELLO for another session ends the channel', async () => {
    const { open, edge, clock, channels, client } = rig();
    open(5, 'another');
    client(6);
    await clock.advance(1);
    const hello = new TextEncoder().encode('{"protocol_version":1,"session_id":"session"}');
    channels.message(encodeEnvelope(5, Uint8Array.of(0x20, hello.length, ...hello)), edge);
    await clock.advance(1);
    expect(edge.texts).toEqual([{ type: 'channel_close', channel: 5 }]);
    expect(channels.size).toBe(1);
  });

  test('bytes that are no envelope are dropped; those for no channel are answered', async () => {
    const { edge, clock, channels } = rig();
    channels.message(new Uint8Array(), edge);
    channels.message(Uint8Array.of(0xff), edge);
    channels.message(encodeEnvelope(3, Uint8Array.of(1, 1)), edge);
    await clock.advance(1);
    expect(edge.texts).toEqual([{ type: 'channel_close', channel: 3 }]);
    expect(edge.messages).toEqual([]);
  });

  test('more channels than the limit are refused, and a freed one may be used', async () => {
    const { open, edge, clock, channels } = rig(2);
    for (const channel of [1, 2, 3]) open(channel);
    await clock.advance(1);
    expect([channels.size, edge.texts]).toEqual([2, [{ type: 'channel_close', channel: 3 }]]);
    channels.control({ type: 'channel_close', channel: 1 }, edge);
    open(4);
    expect(channels.size).toBe(2);
  });

  test('a number that is open already ends that channel', async () => {
    const { open, edge, clock, channels } = rig();
    open(1);
    open(1);
    await clock.advance(1);
    expect([channels.size, edge.texts]).toEqual([0, [{ type: 'channel_close', channel: 1 }]]);
  });
});

describe('what is sent', () => {
  test('waits while 256 kB are on their way, and goes on when they have left', async () => {
    const { client, streams, clock, edge } = rig();
    await request(client(1));
    await clock.advance(1000);
    edge.blocked = true;
    const stream = streams[0];
    let written = 0;
    const write = (async () => {
      for (let i = 0; i < 20; i++) {
        await stream?.write(new Uint8Array(50_000));
        written = i + 1;
      }
    })();
    await clock.advance(1000);
    expect(edge.bufferedAmount).toBeGreaterThanOrEqual(256 * 1024);
    expect(edge.bufferedAmount).toBeLessThan(256 * 1024 + 2 * MAX_MESSAGE_BYTES);
    expect(written).toBeLessThan(10);
    edge.unblock();
    await clock.advance(1000);
    await write;
    expect(dataIn(edge.messages)).toBe(1_000_000);
  });

  test.each([
    ['100 tokens a second', 10, 50],
    // Two travel together: the first one waits for 50 ms, and the next one comes after 80.
    ['25 tokens a second', 40, 80],
  ])('%s: the first ones at once, then each waits at most 50 ms for those that come', async (_, step, period) => {
    const { client, streams, clock, edge } = rig();
    await request(client(1));
    await clock.advance(0);
    const before = edge.messages.length;
    for (let i = 0; i < 100; i++) {
      void streams[0]?.write(new Uint8Array(100));
      await clock.advance(step);
      const due = Math.floor(((i + 1) * step - 50) / step) + 1;
      expect(dataIn(edge.messages)).toBeGreaterThanOrEqual(100 * (i < 2 ? i + 1 : due));
    }
    await clock.advance(50);
    expect(dataIn(edge.messages)).toBe(10_000);
    expect(edge.messages.length - before).toBeLessThanOrEqual((100 * step) / period + 5);
  });

  test('tokens that come one by one: none waits', async () => {
    const { client, streams, clock, edge } = rig();
    await request(client(1));
    for (let i = 1; i <= 50; i++) {
      await clock.advance(60);
      void streams[0]?.write(new Uint8Array(100));
      await clock.advance(0);
      expect(dataIn(edge.messages)).toBe(100 * i);
    }
  });

  test('bulk does not wait for the next 50 ms', async () => {
    const { client, streams, clock, edge } = rig();
    const session = client(1);
    const exchange = await request(session);
    void (async () => {
      for (;;) if ((await exchange.stream.read()) === null) return;
    })();
    await clock.advance(1);
    const started = clock.now();
    for (let sent = 0; sent < 5_000_000; sent += 20_000) {
      await Promise.all([streams[0]?.write(new Uint8Array(20_000)), clock.advance(0)]);
    }
    await clock.advance(0);
    expect(dataIn(edge.messages)).toBe(5_000_000);
    expect(clock.now()).toBe(started);
  });
});
