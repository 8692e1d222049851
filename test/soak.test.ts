/** The soak test, short: every kind of trouble once, in the same code as `npm run soak`. */
import { expect, test } from 'vitest';
import { houseMissing } from './soak/house.ts';
import { runSoak } from './soak/soak.ts';
import { TROUBLE_NAMES } from './soak/troubles.ts';

const HOURS = 3;

test.skipIf(houseMissing())(
  'the agent holds as much after hours of sleep, IP changes, redeploys and restarts as before, and loses no byte',
  async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const { hours, problems, requests, log } = await runSoak({
      hours: HOURS,
      seed,
      troublesPerHour: Math.ceil(TROUBLE_NAMES.length / HOURS),
      visitsPerHour: 6,
    });
    expect(problems, `seed ${seed}\n${log.slice(-200).join('\n')}`).toEqual([]);
    const suffered = hours.flatMap(({ troubles }) => troubles.map(({ name }) => name));
    expect(new Set(suffered)).toEqual(new Set(TROUBLE_NAMES));
    // Not a day on which nobody got an answer.
    expect(requests['chat by session']?.succeeded).toBeGreaterThan(20);
    expect(requests['chat by tunnel']?.succeeded).toBeGreaterThan(5);
  },
  900_000,
);
