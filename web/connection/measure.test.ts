import { expect, test } from 'vitest';
import { type Client, DirectError } from '../client/index.ts';
import { measure } from './measure.ts';

/** Answers after 10 ms, and by HTTPS after 80. */
function fake(path: Client['path'], tunnel: () => Response) {
  let now = 0;
  const asked: boolean[] = [];
  const fetch: Client['fetch'] = async (_, init) => {
    const byHttps = init?.keepalive === true;
    asked.push(byHttps);
    now += byHttps ? 80 : 10;
    return byHttps ? tunnel() : Response.json({});
  };
  return { client: { path, fetch }, now: () => now, asked };
}

test('asks by both ways in turns', async () => {
  const { client, now, asked } = fake('direct', () => Response.json({}));
  expect(await measure(client, now)).toEqual({
    current: { way: 'direct', median: 10, problem: undefined },
    tunnel: { median: 80, problem: undefined },
  });
  expect(asked.slice(0, 4)).toEqual([false, true, false, true]);
});

test('asks by the tunnel alone where that is the way in use', async () => {
  const { client, now, asked } = fake('tunnel', () => Response.json({}));
  expect((await measure(client, now)).current).toBeUndefined();
  expect(asked).not.toContain(false);
});

test.each<[string, () => Response, string]>([
  ['refuses', () => Response.json({}, { status: 403 }), 'it was answered with 403'],
  [
    'fails',
    () => {
      throw new TypeError('fetch failed');
    },
    'fetch failed',
  ],
  [
    'is not wanted',
    () => {
      throw new TypeError('long', { cause: new DirectError('E_PATH_LOST', 'a paired device uses no tunnel') });
    },
    'a paired device uses no tunnel',
  ],
])('a tunnel that %s says so, and the other way is measured', async (_, tunnel, problem) => {
  const { client, now, asked } = fake('relay', tunnel);
  const { current, tunnel: measured } = await measure(client, now);
  expect(current?.median).toBe(10);
  expect(measured).toEqual({ median: undefined, problem });
  expect(asked.filter((byHttps) => byHttps)).toHaveLength(1);
});
