/**
 * `npm run test:native`: the whole test suite with node-datachannel as the agent's engine. Tests of werift alone are
 * skipped, and counted in the last line. Without the package nothing would be tested, so that is a failure.
 */
import { spawnSync } from 'node:child_process';
import { findNative } from '../agent/engine.ts';

const { problem, version } = { version: undefined, ...findNative() };
if (problem !== undefined) {
  console.error(`${problem}. Run: npm ci`);
  process.exit(1);
}
console.log(`With node-datachannel ${version}.`);
const env = { ...process.env, DIRECT_AGENT_ENGINE: 'node-datachannel' };
// `npm run test:native -- agent/webrtc` runs those files alone.
const { status } = spawnSync('npm', ['test', '--', ...process.argv.slice(2)], {
  env,
  stdio: 'inherit',
  shell: process.platform === 'win32',
});
process.exit(status ?? 1);
