import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';

/** What is tested; without it werift, whatever is installed here. `npm run test:native` runs all with the other. */
const env = { DIRECT_AGENT_ENGINE: process.env.DIRECT_AGENT_ENGINE ?? 'werift' };

export default defineConfig({
  test: {
    // Vitest would leave a core free on a small machine, where tests of the whole product wait most of their time.
    maxWorkers: 2,
    reporters: ['default', './test/closing-line.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          env,
          testTimeout: 90_000,
          expect: { poll: { timeout: 20_000 } },
          include: ['shared/*.test.ts', 'agent/**/*.test.ts', 'web/**/*.test.{ts,tsx}', 'bench/*.test.ts'],
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: './wrangler.toml' } })],
        test: {
          name: 'edge',
          include: ['workers/**/*.test.ts'],
          testTimeout: 90_000,
          expect: { poll: { timeout: 20_000 } },
        },
      },
      {
        test: {
          name: 'end-to-end',
          env,
          include: ['test/**/*.test.ts'],
          // What hangs fails in any time; what is slow on a busy machine should not.
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: { poll: { timeout: 30_000, interval: 20 } },
        },
      },
    ],
  },
});
