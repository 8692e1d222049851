import { expect, test } from 'vitest';
import { generateHostKeys, verifyAnnouncement } from '../shared/host-identity.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import { RelayKeys } from '../shared/relay-keys.ts';
import { sealedAgentPath, sealedClientPath } from '../shared/sealed-path.ts';
import { sealingIsSupported } from '../shared/sealing-support.ts';

test('workerd can seal', async () => {
  expect(await sealingIsSupported()).toBe(true);
});

test('a sealed pair carries messages both ways in workerd', async () => {
  const environment = { now: () => 0, timer: () => () => {} };
  const keys = await RelayKeys.create({ hostKeys: await generateHostKeys(), environment, wallClock: () => 0 });
  const host = await verifyAnnouncement(await keys.announcement(), { now: 0 });
  const [left, right] = memoryPaths();
  const client = sealedClientPath(left, host, 'session');
  const agent = sealedAgentPath(right, keys, 'session');
  const sent = Array.from({ length: 100 }, (_, i) => new Uint8Array(i * 10).fill(i));
  const back: Uint8Array[] = [];
  agent.start({ message: (message) => agent.send(message), drained: () => {}, closed: () => {} });
  const all = new Promise<void>((resolve) => {
    client.start({
      message: (message) => {
        if (back.push(message) === sent.length) resolve();
      },
      drained: () => {},
      closed: () => resolve(),
    });
  });
  for (const message of sent) client.send(message);
  await all;
  expect(back).toEqual(sent);
});
