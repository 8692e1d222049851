import { expect, test, vi } from 'vitest';
import { MAX_MESSAGE_BYTES } from '../../shared/limits.ts';
import type { PathEvents } from '../../shared/path.ts';
import { ChannelPath } from './channel-path.ts';
import { TestChannel } from './test-webrtc.ts';

function open(maxMessageBytes?: number) {
  const channel = new TestChannel();
  const path = new ChannelPath(channel, maxMessageBytes, () => new TestChannel());
  channel.open();
  const events = { message: vi.fn<PathEvents['message']>(), drained: vi.fn(), closed: vi.fn() };
  return { channel, path, events };
}

test('takes as much as its pace allows less what the channel holds, and nothing before it is open', () => {
  const channel = new TestChannel();
  const path = new ChannelPath(channel, undefined, () => new TestChannel());
  expect(path.capacity()).toBe(0);
  channel.open();
  expect(path.capacity()).toBe(160 * 1024);
  channel.bufferedAmount = 160 * 1024;
  expect(path.capacity()).toBe(0);
});

test('says when it can take more, also when a slow path has made the queue shorter', async () => {
  const { channel, path, events } = open();
  path.start(events);
  const { bufferedAmountLowThreshold } = channel;
  expect(bufferedAmountLowThreshold).toBeGreaterThan(0);
  expect(bufferedAmountLowThreshold).toBeLessThan(path.capacity());
  path.send(new Uint8Array(65_536));
  channel.bufferedAmount = 65_000;
  await new Promise((resolve) => setTimeout(resolve, 20));
  path.send(new Uint8Array(1));
  expect(channel.bufferedAmountLowThreshold).toBeLessThan(bufferedAmountLowThreshold);
  expect(channel.bufferedAmountLowThreshold).toBeLessThan(path.capacity() + channel.bufferedAmount);
  expect(path.chunkBytes(0)).toBeLessThan(16 * 1024);
  channel.dispatchEvent(new Event('bufferedamountlow'));
  expect(events.drained).toHaveBeenCalledOnce();
});

test.each([
  [undefined, MAX_MESSAGE_BYTES],
  [16_384, 16_384],
  [1_073_741_823, MAX_MESSAGE_BYTES],
  [0, MAX_MESSAGE_BYTES],
  [Number.POSITIVE_INFINITY, MAX_MESSAGE_BYTES],
])('with %s of SCTP it carries messages of %i bytes', (sctp, expected) => {
  expect(open(sctp).path.maxMessageBytes).toBe(expected);
});

test('delivers what came before it was started, as bytes', () => {
  const { channel, path, events } = open();
  channel.receive(new Uint8Array([1, 2]).buffer);
  channel.receive(Buffer.from([3]));
  path.start(events);
  channel.receive(new Uint8Array([4]).buffer);
  expect(events.message.mock.calls.map(([bytes]) => [...bytes])).toEqual([[1, 2], [3], [4]]);
});

test('text ends it', () => {
  const { channel, path, events } = open();
  path.start(events);
  channel.receive('hello');
  channel.receive(new Uint8Array([1]).buffer);
  expect(events.closed).toHaveBeenCalledExactlyOnceWith('the peer sent text');
  expect(events.message).not.toHaveBeenCalled();
  expect(channel.readyState).toBe('closed');
});

test('closing is told once, and also to who starts late', async () => {
  const { channel, path, events } = open();
  channel.close();
  await Promise.resolve();
  path.start(events);
  path.close();
  path.fail('again');
  expect(events.closed).toHaveBeenCalledExactlyOnceWith('the data channel closed');
  path.send(new Uint8Array(1));
  expect([channel.sent, path.capacity()]).toEqual([[], 0]);
});

test('a channel that refuses a message has ended', () => {
  const { channel, path, events } = open();
  path.start(events);
  channel.readyState = 'closing';
  path.send(new Uint8Array(1));
  expect(events.closed).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('InvalidStateError'));
});

test('an error of the channel ends it', () => {
  const { channel, path, events } = open();
  path.start(events);
  channel.dispatchEvent(Object.assign(new Event('error'), { error: { message: 'SCTP abort' } }));
  expect(events.closed).toHaveBeenCalledExactlyOnceWith('the data channel failed: SCTP abort');
});
