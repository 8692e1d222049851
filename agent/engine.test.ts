import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig } from './config.ts';
import { ConfigError } from './config-error.ts';
import { chooseEngine, findNative, type Installed } from './engine.ts';
import type { NetworkSettings } from './network-settings.ts';
import { required, withFile } from './test-config.ts';
import { PLAIN_NETWORK } from './test-network.ts';
import { interfacesWith } from './test-webrtc.ts';
import { WebRtc } from './webrtc.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const there: Installed = { file: '/x/node-datachannel/index.cjs', version: '0.33.4' };
const absent: Installed = { problem: 'node-datachannel is not installed' };

/** A package of that name whose only file is `source`, in the node_modules of a new folder; the folder. */
function installed(version: string, source = ''): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'engine-')));
  folders.push(folder);
  const home = join(folder, 'node_modules/node-datachannel');
  mkdirSync(join(home, 'dist'), { recursive: true });
  const description = { name: 'node-datachannel', version, exports: { '.': './dist/index.cjs' } };
  writeFileSync(join(home, 'package.json'), JSON.stringify(description));
  writeFileSync(join(home, 'dist/index.cjs'), source);
  return folder;
}

/** Where the agent's own file would be, in a folder like those of `npm install` and `npx --package`. */
const agentIn = (folder: string) => pathToFileURL(join(folder, 'node_modules/direct-agent/dist/agent/main.js'));

describe('what is installed', () => {
  test('is found beside the agent, in a project as in npm’s global folder', () => {
    const folder = installed('0.33.4');
    expect(findNative(agentIn(folder))).toEqual({
      file: join(folder, 'node_modules/node-datachannel/dist/index.cjs'),
      version: '0.33.4',
    });
  });

  test('may be missing', () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'engine-')));
    folders.push(folder);
    expect(findNative(agentIn(folder))).toEqual(absent);
  });

  test.each(['0.32.9', '0.34.0', '1.0.0'])('is left alone if it is version %s', (version) => {
    expect(findNative(agentIn(installed(version))).problem).toBe(
      `node-datachannel ${version} is installed, and the agent takes 0.33`,
    );
  });
});

describe('auto', () => {
  const choose = (settings: Partial<NetworkSettings>, found: Installed = there) =>
    chooseEngine({ ...PLAIN_NETWORK, engine: 'auto', ...settings }, found);

  test('is the default', () => {
    expect(loadConfig(withFile(required)).network.engine).toBe('auto');
  });

  test('takes node-datachannel where it is installed', () => {
    expect(choose({})).toEqual({
      name: 'node-datachannel',
      why: 'version 0.33.4 is installed',
      file: '/x/node-datachannel/index.cjs',
    });
  });

  test('takes werift where it is not, and says why', () => {
    expect(choose({}, absent)).toEqual({ name: 'werift', why: 'node-datachannel is not installed' });
  });

  test.each([
    [{ relayOnly: true }, 'relay_only'],
    [{ interfaces: ['eth0'] }, 'interfaces'],
    [{ excludeInterfaces: ['wg*'] }, 'exclude_interfaces'],
  ])('takes werift for %j, and says why', (settings, key) => {
    expect(choose(settings)).toEqual({ name: 'werift', why: `node-datachannel is installed, but ${key} needs werift` });
  });

  test.each([
    { nat1to1: [{ external: '203.0.113.7', local: undefined }] },
    { udpPorts: { min: 50_000, max: 50_000 } },
    { ipFamily: 'ipv4' as const },
    { stunUrls: ['stun:stun.example.org'] },
    { portMapping: true },
  ])('takes node-datachannel for %j', (settings) => {
    expect(choose(settings).name).toBe('node-datachannel');
  });

  test('goes on with werift where the package cannot be loaded', async () => {
    const folder = installed('0.33.4', 'throw new Error("no binary for this machine\\nsecond line")');
    const webRtc = await WebRtc.open(
      { ...PLAIN_NETWORK, engine: 'auto' },
      { log: () => {}, interfaces: () => interfacesWith('127.0.0.1'), installed: findNative(agentIn(folder)) },
    );
    await webRtc.close();
    expect(webRtc.choice).toEqual({
      name: 'werift',
      why: 'node-datachannel cannot be loaded: no binary for this machine',
    });
  });
});

test('werift is taken where it is asked for, whatever is installed', () => {
  expect(chooseEngine({ ...PLAIN_NETWORK, engine: 'werift' }, there).name).toBe('werift');
});

describe('node-datachannel by name', () => {
  const { network } = loadConfig(withFile(`${required}engine: node-datachannel`));
  const failure = (work: () => unknown) => {
    try {
      work();
      return 'none';
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
  };

  test('is taken whatever else is set, but for what it can never do', () => {
    expect(chooseEngine({ ...network, interfaces: ['eth0'] }, there).name).toBe('node-datachannel');
    expect(failure(() => loadConfig(withFile(`${required}engine: node-datachannel\nrelay_only: yes`)))).toMatch(
      /relay_only \(.*:4\) cannot be kept by engine \(.*:3\).*Set engine to auto or werift/,
    );
    expect(failure(() => chooseEngine({ ...network, relayOnly: true }, there))).toContain('relay_only');
  });

  test('and not installed ends the agent with what to run', () => {
    expect(failure(() => chooseEngine(network, absent))).toMatch(
      /^engine \(\/.*config\.yaml:3\): node-datachannel is not installed\. Run npm install node-datachannel@0\.33/,
    );
  });

  test('and not fit for this machine does so as well', async () => {
    const folder = installed('0.33.4', 'module.exports = { preload() {} }');
    const opening = WebRtc.open(network, {
      log: () => {},
      interfaces: () => interfacesWith('127.0.0.1'),
      installed: findNative(agentIn(folder)),
    });
    await expect(opening).rejects.toThrow(
      /^engine .*: node-datachannel cannot be loaded: it has no cleanup, setSctpSettings, PeerConnection\. Run npm/,
    );
  });
});

/** What is there to choose from is the dev dependency. */
describe('with the real package', () => {
  const open = async (settings: Partial<NetworkSettings>, ...addresses: string[]) => {
    const log: string[] = [];
    const webRtc = await WebRtc.open(
      { ...PLAIN_NETWORK, engine: 'node-datachannel', ...settings },
      { log: (line) => void log.push(line), interfaces: () => interfacesWith(...addresses) },
    );
    await webRtc.close();
    return log;
  };

  test('a setting that it serves less well is said once, at the start', async () => {
    expect(await open({}, '127.0.0.1', '127.0.0.2')).toEqual([]);
    expect((await open({ interfaces: ['eth*'] }, '127.0.0.1', '127.0.0.2')).join('\n')).toMatch(
      /^webrtc: interfaces: /,
    );
    expect(await open({ interfaces: ['eth0'] }, '127.0.0.1', '127.0.0.2')).toEqual([]);
    expect((await open({ udpPorts: { min: 40_000, max: 60_000 } }, '127.0.0.1')).join('\n')).toMatch(/udp_ports.*TURN/);
  });

  test('it can be opened again after its last user has closed', async () => {
    for (let i = 0; i < 3; i++) await open({}, '127.0.0.1');
  });
});
