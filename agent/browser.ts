/** Opens a page in this machine's browser, where there is one that the person sees. */
import { type ChildProcess, spawn } from 'node:child_process';

/** Launchers end at once, or stay as long as the browser does; a failure shows within this time. */
const FAILURE_SHOWS_MS = 3_000;

export interface Desktop {
  platform: NodeJS.Platform;
  env: Readonly<Record<string, string | undefined>>;
  /** Without a shell. */
  start(command: string, args: readonly string[]): Pick<ChildProcess, 'once' | 'unref'>;
}

/** Which program opens the page, or why nobody would see it. */
export function launcherOf(
  { platform, env }: Pick<Desktop, 'platform' | 'env'>,
  url: string,
): { command: string; args: string[] } | { why: string } {
  const isRemote = Boolean(env.SSH_CONNECTION ?? env.SSH_TTY);
  // “cmd /c start” would read the & of a URL as its own.
  if (platform === 'win32') {
    return isRemote ? { why: SSH } : { command: 'rundll32', args: ['url.dll,FileProtocolHandler', url] };
  }
  if (platform === 'darwin') return isRemote ? { why: SSH } : { command: 'open', args: [url] };
  // Set by hand, or by an editor that passes pages on to the machine where the person is: xdg-open goes by it.
  if (env.BROWSER) return { command: 'xdg-open', args: [url] };
  if (env.WSL_DISTRO_NAME && !isRemote) {
    return { command: 'rundll32.exe', args: ['url.dll,FileProtocolHandler', url] };
  }
  if (env.DISPLAY || env.WAYLAND_DISPLAY) return { command: 'xdg-open', args: [url] };
  return { why: isRemote ? SSH : 'this machine has no display' };
}

const SSH = 'you are here by SSH';

/** Undefined once the page is on its way to a browser; else why it is not, for the middle of a sentence. */
export async function openBrowser(
  url: string,
  desktop: Desktop = { platform: process.platform, env: process.env, start },
): Promise<string | undefined> {
  // What else a launcher would take: options, files, programs.
  if (!/^https?:\/\//.test(url)) throw new Error('only web pages are opened');
  const launcher = launcherOf(desktop, url);
  if ('why' in launcher) return launcher.why;
  const { command, args } = launcher;
  const child = desktop.start(command, args);
  return await new Promise((resolve) => {
    const timer = setTimeout(resolve, FAILURE_SHOWS_MS, undefined);
    const end = (why?: string) => {
      clearTimeout(timer);
      resolve(why);
    };
    child.once('error', () => end(`the program ${command} is missing`));
    child.once('exit', (code) => end(code === 0 ? undefined : `${command} found no browser`));
    child.unref();
  });
}

function start(command: string, args: readonly string[]): ChildProcess {
  return spawn(command, args, { stdio: 'ignore', detached: true, windowsHide: true });
}
