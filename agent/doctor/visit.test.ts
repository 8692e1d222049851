import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Store } from '../store.ts';
import type { Look } from './host.ts';
import { settingsWith } from './test-doctor.ts';
import { Visit } from './visit.ts';

const folder = mkdtempSync(join(tmpdir(), 'da-visit-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('what cannot be undone in time is told', async () => {
  const asked = Promise.withResolvers<void>();
  const look = async (): Promise<Look> => ({
    unreachable: undefined,
    credential: 'accepted',
    online: true,
    since: undefined,
    version: undefined,
    problem: undefined,
    clockAheadMs: undefined,
    ms: 1,
  });
  const visit = new Visit({
    config: {
      ...settingsWith(),
      signalingUrl: 'https://edge.example/_direct/h/home',
      hostId: 'home',
      token: `dah_${'x'.repeat(43)}`,
    },
    store: new Store(folder, () => {}),
    // The key may be made there, and the answer never comes.
    fetch: () => {
      asked.resolve();
      return new Promise(() => {});
    },
    now: () => Date.now(),
    interfaces: () => ({}),
    look,
    lookAgain: look,
    localAgent: async () => undefined,
    servers: async () => [],
    signal: new AbortController().signal,
  });
  void visit.admitted();
  await asked.promise;
  expect(await visit.end()).toEqual([expect.stringContaining('API key may still be there')]);
});
