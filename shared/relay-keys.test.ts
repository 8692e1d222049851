import { beforeAll, describe, expect, test } from 'vitest';
import { type Announcement, generateHostKeys, type HostKeys, verifyAnnouncement } from './host-identity.ts';
import { RELAY_KEY_CHECK_MS, RELAY_KEY_LIFETIME_MS, RELAY_KEY_ROTATION_MS } from './limits.ts';
import { RelayKeys, type RelayKeysOptions } from './relay-keys.ts';
import { encapsulate, generateRelayKeyPair, PREFACE_BYTES, type SealingKeys } from './sealing.ts';
import { settle, TestClock } from './test-clock.ts';

const ID = 'k3Jx0dQ2pA8';
const START = 1_795_228_800_000;

let hostKeys: HostKeys;
beforeAll(async () => {
  hostKeys = await generateHostKeys();
});

/** Until `done`: keys are made by threads, which no clock of a test moves. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await settle();
}

async function agent(options: Partial<RelayKeysOptions> = {}) {
  const world = new TestClock();
  /** How far the wall clock is off from where it started; a test sets it. */
  const wall = { shift: 0 };
  const rotated: Announcement[] = [];
  const keys = await RelayKeys.create({
    hostKeys,
    environment: world,
    wallClock: () => START + world.now() + wall.shift,
    rotated: (announcement) => rotated.push(announcement),
    ...options,
  });
  /** The preface of a client that was given `announcement`. */
  const client = async (announcement: Announcement) =>
    await encapsulate(await verifyAnnouncement(announcement, { now: 0 }), ID);
  const accepts = async (announcement: Announcement) => {
    const { preface, keys: theirs } = await client(announcement);
    return await agree(theirs, await keys.accept(preface, ID));
  };
  return { world, wall, keys, rotated, client, accepts };
}

async function agree(client: SealingKeys, agent: SealingKeys): Promise<boolean> {
  const message = Uint8Array.of(1, 2, 3);
  const there = await agent.open(await client.seal(message));
  return Buffer.from(await client.open(await agent.seal(there))).equals(message);
}

const refusedFor = (detail: string) => expect.objectContaining({ code: 'E_HOST_KEY', detail });
const UNKNOWN = refusedFor('sealed to a relay key that this agent does not have');
const TWICE = refusedFor('a first message came twice');
const USED_UP = refusedFor('the relay key is used up');

describe('a relay key', () => {
  test('is announced with its end, and serves many clients', async () => {
    const { keys, accepts } = await agent();
    const announcement = await keys.announcement();
    expect(announcement.expires_at).toBe(START + RELAY_KEY_LIFETIME_MS);
    expect(await accepts(announcement)).toBe(true);
    expect(await accepts(announcement)).toBe(true);
  });

  test('is not the one of the agent that ran before', async () => {
    const [first, second] = [await agent(), await agent()];
    const { preface } = await first.client(await first.keys.announcement());
    await expect(second.keys.accept(preface, ID)).rejects.toEqual(UNKNOWN);
  });

  test('takes each first message once, also at the same time and after a rotation', async () => {
    const { world, keys, client, rotated } = await agent();
    const { preface } = await client(await keys.announcement());
    const both = await Promise.allSettled([keys.accept(preface, ID), keys.accept(new Uint8Array(preface), 'other')]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await expect(keys.accept(preface, ID)).rejects.toEqual(TWICE);
    await world.advance(RELAY_KEY_ROTATION_MS);
    await until(() => rotated.length === 1);
    await expect(keys.accept(preface, ID)).rejects.toEqual(TWICE);
  });

  test('gives other keys when the encapsulated key is written in another way', async () => {
    const { keys, client } = await agent();
    const { preface, keys: theirs } = await client(await keys.announcement());
    // X25519 ignores the highest bit (RFC 7748, section 5), so a replay could hide behind it.
    preface[PREFACE_BYTES - 1] = (preface[PREFACE_BYTES - 1] as number) ^ 0x80;
    const mine = await keys.accept(preface, ID);
    await expect(mine.open(await theirs.seal(new Uint8Array(1)))).rejects.toThrow();
  });

  test.each([0, 1, 7, 8, 39])('is not found by %i bytes of a preface', async (length) => {
    const { keys, client } = await agent();
    const { preface } = await client(await keys.announcement());
    await expect(keys.accept(preface.subarray(0, length), ID)).rejects.toThrow();
  });
});

describe('a first message that may not have arrived', () => {
  test('began no session if its key lives and it was not taken, and is taken from then on', async () => {
    const { keys, client } = await agent();
    const { preface } = await client(await keys.announcement());
    expect(keys.neverBegan(preface)).toBe(true);
    // Late, by a relay that lives after all.
    await expect(keys.accept(preface, ID)).rejects.toEqual(TWICE);
  });

  test('began none either if its path ended before it was understood', async () => {
    const { keys, client } = await agent();
    const { preface } = await client(await keys.announcement());
    await keys.accept(preface, ID);
    expect(keys.neverBegan(preface)).toBe(true);
    keys.began(preface);
    expect(keys.neverBegan(preface)).toBe(false);
  });

  test('may have begun one if its key is another agent’s, used up or gone, and if it is none', async () => {
    const { keys, client, world } = await agent({ maxFirstMessages: 1 });
    const late = await client(await keys.announcement());
    const other = await agent();
    expect(other.keys.neverBegan(late.preface)).toBe(false);
    expect(keys.neverBegan(late.preface.subarray(0, PREFACE_BYTES - 1))).toBe(false);
    const first = await client(await keys.announcement());
    await keys.accept(first.preface, ID);
    expect(keys.neverBegan(late.preface)).toBe(false);
    await world.advance(RELAY_KEY_LIFETIME_MS);
    expect(keys.neverBegan(first.preface)).toBe(false);
  });
});

describe('rotation', () => {
  test('the one before stays until its announced end', async () => {
    const { world, keys, rotated, accepts } = await agent();
    const first = await keys.announcement();
    await world.advance(RELAY_KEY_ROTATION_MS - 1);
    expect(await keys.announcement()).toBe(first);
    await world.advance(1);
    await until(() => rotated.length === 1);
    const second = await keys.announcement();
    expect(rotated).toEqual([second]);
    expect(second.relay_key).not.toBe(first.relay_key);
    await world.advance(RELAY_KEY_LIFETIME_MS - RELAY_KEY_ROTATION_MS - 1);
    expect(await accepts(first)).toBe(true);
    await world.advance(1);
    await expect(accepts(first)).rejects.toEqual(UNKNOWN);
    expect(await accepts(second)).toBe(true);
  });

  test('goes on without anyone asking', async () => {
    const { world, rotated } = await agent();
    for (let n = 1; n <= 3; n++) {
      await world.advance(RELAY_KEY_ROTATION_MS);
      await until(() => rotated.length === n);
    }
    expect(new Set(rotated.map(({ relay_key }) => relay_key)).size).toBe(3);
  });

  test('after a sleep that stopped the timers, the wall clock decides', async () => {
    const { wall, keys, rotated, client, accepts } = await agent();
    const first = await keys.announcement();
    const { preface } = await client(first);
    wall.shift = RELAY_KEY_LIFETIME_MS;
    await expect(keys.accept(preface, ID)).rejects.toEqual(UNKNOWN);
    const second = await keys.announcement();
    expect(second.expires_at).toBe(START + 2 * RELAY_KEY_LIFETIME_MS);
    expect(rotated).toEqual([second]);
    expect(await accepts(second)).toBe(true);
  });

  test('after a sleep, the first client that comes with the old key brings about the next one', async () => {
    const { keys, wall, rotated, client } = await agent();
    const { preface } = await client(await keys.announcement());
    wall.shift = RELAY_KEY_LIFETIME_MS;
    await expect(keys.accept(preface, ID)).rejects.toEqual(UNKNOWN);
    await until(() => rotated.length === 1);
  });

  test('a wall clock that is set back makes no key live longer', async () => {
    const { world, wall, keys, rotated, client } = await agent();
    const { preface } = await client(await keys.announcement());
    wall.shift = -1000 * RELAY_KEY_LIFETIME_MS;
    await world.advance(RELAY_KEY_ROTATION_MS);
    await until(() => rotated.length === 1);
    await world.advance(RELAY_KEY_LIFETIME_MS - RELAY_KEY_ROTATION_MS);
    await expect(keys.accept(preface, ID)).rejects.toEqual(UNKNOWN);
  });

  test('comes early when the key has taken all that it can, and the full key takes nothing more', async () => {
    const { keys, rotated, client, accepts } = await agent({ maxFirstMessages: 3 });
    const first = await keys.announcement();
    const late = await client(first);
    const repeated = await client(first);
    expect(await agree(repeated.keys, await keys.accept(repeated.preface, ID))).toBe(true);
    expect(await accepts(first)).toBe(true);
    const third = await client(first);
    const accepting = keys.accept(third.preface, ID);
    await expect(keys.accept(late.preface, ID)).rejects.toEqual(USED_UP);
    expect(await agree(third.keys, await accepting)).toBe(true);
    const second = await keys.announcement();
    expect(rotated).toEqual([second]);
    await expect(keys.accept(late.preface, ID)).rejects.toEqual(UNKNOWN);
    await expect(keys.accept(repeated.preface, ID)).rejects.toEqual(UNKNOWN);
    expect(await accepts(second)).toBe(true);
  });

  test('happens once, however many ask for it', async () => {
    const { world, keys, rotated } = await agent();
    await world.advance(RELAY_KEY_ROTATION_MS - 1);
    const asked = world.advance(1).then(() => keys.announcement());
    const announcements = await Promise.all([asked, asked.then(() => keys.announcement())]);
    expect(new Set(announcements).size).toBe(1);
    expect(rotated.length).toBe(1);
  });

  test('ends with close, which drops the keys', async () => {
    const { world, keys, rotated, client } = await agent();
    const { preface } = await client(await keys.announcement());
    const rotating = world.advance(RELAY_KEY_ROTATION_MS);
    keys.close();
    await rotating;
    expect(world.pending).toBe(0);
    expect(rotated).toEqual([]);
    await expect(keys.accept(preface, ID)).rejects.toEqual(UNKNOWN);
    await expect(keys.announcement()).rejects.toEqual(expect.objectContaining({ code: 'E_GOING_AWAY' }));
  });

  test('looks often enough that a dropped key is gone soon after its end', () => {
    expect(RELAY_KEY_CHECK_MS).toBeLessThanOrEqual((RELAY_KEY_LIFETIME_MS - RELAY_KEY_ROTATION_MS) / 60);
  });
});

test('a private relay key cannot be taken out of the runtime', async () => {
  const { privateKey } = await generateRelayKeyPair();
  expect(privateKey.extractable).toBe(false);
});
