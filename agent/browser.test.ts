import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { type Desktop, launcherOf, openBrowser } from './browser.ts';

const URL = 'https://edge.example/_direct/chat#host=attic&key=a%b';
const opens = (platform: NodeJS.Platform, env: Desktop['env']) => {
  const launcher = launcherOf({ platform, env }, URL);
  return 'why' in launcher ? launcher.why : `${launcher.command} ${launcher.args.slice(0, -1).join(' ')}`.trim();
};

test.each([
  ['darwin', {}, 'open'],
  ['darwin', { SSH_CONNECTION: '1 2 3 4' }, 'you are here by SSH'],
  ['win32', {}, 'rundll32 url.dll,FileProtocolHandler'],
  ['win32', { SSH_CONNECTION: '1 2 3 4' }, 'you are here by SSH'],
  ['linux', { DISPLAY: ':0' }, 'xdg-open'],
  ['linux', { WAYLAND_DISPLAY: 'wayland-0' }, 'xdg-open'],
  // X11 by SSH shows the browser where the person is.
  ['linux', { DISPLAY: 'localhost:10.0', SSH_CONNECTION: '1 2 3 4' }, 'xdg-open'],
  ['linux', { SSH_CONNECTION: '1 2 3 4' }, 'you are here by SSH'],
  ['linux', { DISPLAY: '' }, 'this machine has no display'],
  ['linux', { BROWSER: 'editor-helper.sh', SSH_CONNECTION: '1 2 3 4' }, 'xdg-open'],
  ['linux', { WSL_DISTRO_NAME: 'Debian' }, 'rundll32.exe url.dll,FileProtocolHandler'],
] as const)('on %s with %j: %s', (platform, env, expected) => {
  expect(opens(platform, env)).toBe(expected);
});

/** Ends as `end` makes it. */
function desktop(end: (child: EventEmitter) => void) {
  const started: [string, readonly string[]][] = [];
  const start: Desktop['start'] = (command, args) => {
    started.push([command, args]);
    const child = new EventEmitter();
    setImmediate(end, child);
    return Object.assign(child, { unref: () => {} }) as unknown as ReturnType<Desktop['start']>;
  };
  return { started, desktop: { platform: 'linux', env: { DISPLAY: ':0' }, start } as Desktop };
}

test('the page goes to the launcher as it is, in one argument', async () => {
  const { started, desktop: linux } = desktop((child) => child.emit('exit', 0));
  expect(await openBrowser(URL, linux)).toBeUndefined();
  expect(started).toEqual([['xdg-open', [URL]]]);
});

test('a launcher that fails or is missing is told; one that stays with its browser is not waited for', async () => {
  const missing = desktop((child) => child.emit('error', new Error('ENOENT')));
  expect(await openBrowser(URL, missing.desktop)).toBe('the program xdg-open is missing');
  const failing = desktop((child) => child.emit('exit', 3));
  expect(await openBrowser(URL, failing.desktop)).toBe('xdg-open found no browser');
  expect(await openBrowser(URL, desktop(() => {}).desktop)).toBeUndefined();
});

test.each(['file:///etc/passwd', '--help', 'javascript:1'])('%s is opened nowhere', async (url) => {
  const { started, desktop: linux } = desktop(() => {});
  await expect(openBrowser(url, linux)).rejects.toThrow('only web pages');
  expect(started).toEqual([]);
});
