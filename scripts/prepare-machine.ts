/**
 * Installs from Debian what the tests need, where that is allowed, and says what will be skipped where it is not.
 * Tests ask for the same programs themselves and skip with a reason, so this never fails.
 */
import { spawnSync } from 'node:child_process';
import { findProgram } from './programs.ts';

interface Need {
  program: string;
  packageName: string;
  for: string;
}

const NEEDS: readonly Need[] = [
  { program: 'chromium', packageName: 'chromium', for: 'the tests in a real browser' },
  { program: 'firefox-esr', packageName: 'firefox-esr', for: 'the tests in Firefox' },
  { program: 'ip', packageName: 'iproute2', for: 'the tests in a network of their own' },
  { program: 'nft', packageName: 'nftables', for: 'the tests that cut the network' },
  { program: 'turnserver', packageName: 'coturn', for: 'the tests with a TURN server' },
  { program: 'openssl', packageName: 'openssl', for: 'the tests with a TURN server' },
  // Of its two packages the one that needs no iptables; it has no service that would start.
  { program: 'miniupnpd', packageName: 'miniupnpd-nftables', for: 'the tests with a router that maps ports' },
  { program: 'ethtool', packageName: 'ethtool', for: 'the tests on a slow network' },
  { program: 'zsh', packageName: 'zsh', for: 'the tests of completion in zsh' },
  { program: 'fish', packageName: 'fish', for: 'the tests of completion in fish' },
  { program: 'python3', packageName: 'python3', for: 'the test that a reader of property lists understands ours' },
  { program: 'xmllint', packageName: 'libxml2-utils', for: 'the tests that our XML is well formed' },
];

function apt(...args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync('apt-get', ['-q', '-y', ...args], { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0;
}

const missing = () => NEEDS.filter(({ program }) => findProgram(program) === undefined);

const wanted = missing();
if (wanted.length > 0 && process.getuid?.() === 0 && findProgram('apt-get') !== undefined) {
  const packages = wanted.map(({ packageName }) => packageName);
  process.stderr.write(`Installing from Debian: ${packages.join(', ')}\n`);
  if (apt('update')) apt('install', '--no-install-recommends', ...packages);
}
for (const { program, packageName, for: purpose } of missing()) {
  process.stderr.write(
    `Without ${program}, ${purpose} will be skipped: install it (as root: apt-get install ${packageName}).\n`,
  );
}
