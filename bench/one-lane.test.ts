import { expect, test } from 'vitest';
import { decodeFrames, encodeFrames, type Frame } from '../shared/frame.ts';
import { agentHello, clientHello, parseAgentHello, parseClientHello } from '../shared/hello.ts';
import { sayOneLane } from './one-lane.ts';

test('both HELLOs say one lane, and are whole', () => {
  const client = { sessionId: 'a'.repeat(22), session: 'b'.repeat(22), resumed: false, survivalMs: 1000 };
  const said = through(clientHello({ ...client, lanes: 129 }));
  expect(parseClientHello(said, client.sessionId).lanes).toBe(1);
  expect(parseAgentHello(through(agentHello(client.sessionId, 129)), client.sessionId)).toBe(1);
});

test('other messages stay as they are', () => {
  const message = encodeFrames([{ type: 'PING', nonce: 7 }]);
  const before = message.slice();
  expect(sayOneLane(message)).toBe(false);
  expect(message).toEqual(before);
});

function through(frame: Frame): string {
  const message = encodeFrames([frame]);
  expect(sayOneLane(message)).toBe(true);
  const [back] = decodeFrames(message);
  if (back?.type !== 'HELLO') throw new Error('no HELLO');
  return back.json;
}
