import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { DirectError } from '../shared/errors.ts';
import { WholeBodies } from './request-body.ts';

const MEGABYTE = Buffer.alloc(1024 * 1024);
const SLOW = 24;

/** So many megabytes, and no end. */
function stalled(megabytes: number): Readable {
  const body = new Readable({ read() {} });
  for (let i = 0; i < megabytes; i++) body.push(MEGABYTE);
  return body;
}

test('bodies that one subject begins and does not end leave room for those of others', async () => {
  const bodies = new WholeBodies();
  const refused: string[] = [];
  const waiting = [stalled(SLOW), stalled(SLOW), stalled(SLOW)];
  const all = waiting.map((body) =>
    bodies.read(body, 'invitation:a').catch((error: DirectError) => refused.push(error.code)),
  );
  await expect.poll(() => refused.length).toBe(2);
  expect(refused).toEqual(['E_RATE_LIMITED', 'E_RATE_LIMITED']);
  const other = await bodies.read(Readable.from([MEGABYTE, MEGABYTE]), 'owner');
  expect(other.bytes.length).toBe(2 * MEGABYTE.length);
  for (const body of waiting) if (!body.destroyed) body.push(null);
  await Promise.all(all);
});

test('a body is counted until it is freed, and once', async () => {
  const bodies = new WholeBodies();
  for (let round = 0; round < 3; round++) {
    const body = stalled(SLOW);
    body.push(null);
    const whole = await bodies.read(body, 'key:a');
    const more = stalled(SLOW);
    await expect(bodies.read(more, 'key:a')).rejects.toMatchObject({ code: 'E_RATE_LIMITED' });
    whole.free();
    whole.free();
  }
});
