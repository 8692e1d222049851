/**
 * The manager of a user, `systemd --user`, that really runs: as nobody, without any capability, with no /tmp, /var/tmp and
 * /run of this machine, and with none of its units and generators: a desktop's sound, keyrings and indexers would start
 * there otherwise. Never the manager of the system: what a unit pulls in there (sysinit.target) belongs to a whole
 * machine, such as emptying /tmp and changing /dev.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../scripts/programs.ts';

export const NOBODY = 65_534;
const SYSTEMD = '/lib/systemd/systemd';
const RUNTIME = '/run/user-nobody';
const AS_NOBODY = [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--inh-caps=-all',
  '--bounding-set=-all',
  '--no-new-privs',
];

/** All that units ask for by themselves, systemd.special(7). */
const TARGETS: Readonly<Record<string, string>> = {
  default: 'Requires=basic.target\nAfter=basic.target',
  basic: '',
  shutdown: 'DefaultDependencies=no\nRefuseManualStart=yes',
  exit: 'DefaultDependencies=no\nRequires=shutdown.target\nAfter=shutdown.target',
};

/** In a mount namespace where nothing is shared. Each step that fails ends it, and each promise is looked at in the end. */
const PREPARE = `
set -eu
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/keep /run/systemd/system ${RUNTIME}
mount --bind "$PLACE" /run/keep
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mkdir -p "$PLACE"
mount --move /run/keep "$PLACE"
chown ${NOBODY}:${NOBODY} ${RUNTIME}
chmod 700 ${RUNTIME}
for folder in /tmp /var/tmp /run; do
  [ "$(stat -f -c %T $folder)" = tmpfs ]
  [ "$(stat -c %d:%i $folder)" != "$(stat -c %d:%i /proc/$OUTSIDE/root$folder)" ]
done
`;

/** `command` as nobody. A shell stays process 1, since systemd with that number would be the manager of a system. */
const RUN = `${PREPARE}
${AS_NOBODY.join(' ')} "$@" &
wait
`;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class UserSystemd {
  readonly #outer: ChildProcess;
  readonly #inner: number;
  readonly #group: string;

  /** For `test.skipIf`: why there can be none here, or false. */
  static missing(): string | false {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'its namespaces need Linux and root';
    const programs = ['unshare', 'nsenter', 'setpriv', 'systemctl'];
    const absent = programs.find((name) => findProgram(name) === undefined);
    if (absent !== undefined) return `${absent} is not installed`;
    if (!existsSync(SYSTEMD)) return 'systemd is not installed';
    if (groupRoot() === undefined) return 'there are no control groups of version 2';
    if (process.execPath.startsWith('/tmp/')) return 'Node is in /tmp, which is hidden there';
    return false;
  }

  private constructor(outer: ChildProcess, inner: number, group: string) {
    this.#outer = outer;
    this.#inner = inner;
    this.#group = group;
  }

  /** Without systemd, to see what can be reached from there. `place`: the one folder outside that is there, below /tmp. */
  static async enter(
    place: string,
    command: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<UserSystemd> {
    const root = groupRoot();
    if (root === undefined || !place.startsWith('/tmp/')) throw new Error('not here');
    const group = join(root, `da-lab-${process.pid}`);
    mkdirSync(group);
    for (const name of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads']) {
      chownSync(join(group, name), NOBODY, NOBODY);
    }
    const unshare =
      'exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --cgroup --ipc --uts sh -c "$RUN" sh "$@"';
    const outer = spawn('sh', ['-c', `echo $$ > "$GROUP/cgroup.procs" && ${unshare}`, 'sh', ...command], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        PATH: process.env.PATH,
        RUN,
        GROUP: group,
        PLACE: place,
        OUTSIDE: String(process.pid),
        HOME: place,
        XDG_RUNTIME_DIR: RUNTIME,
        ...more,
      },
    });
    let said = '';
    outer.stderr?.on('data', (part) => {
      said += part;
    });
    for (let tries = 0; tries < 200 && outer.exitCode === null; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const inner = childOf(outer.pid);
      const lab = inner === undefined ? undefined : new UserSystemd(outer, inner, group);
      if (lab !== undefined && (await lab.#isReady())) return lab;
    }
    outer.kill('SIGKILL');
    removeGroup(group);
    throw new Error(`no namespace was made within 20 s: ${said}`);
  }

  /** `place` is the home of nobody. */
  static async boot(place: string): Promise<UserSystemd> {
    const targets = join(place, 'targets');
    mkdirSync(targets);
    for (const [name, text] of Object.entries(TARGETS)) {
      writeFileSync(join(targets, `${name}.target`), `[Unit]\n${text}\n`);
    }
    const units = join(place, '.config/systemd/user');
    const lab = await UserSystemd.enter(place, [SYSTEMD, '--user', '--log-target=null'], {
      SYSTEMD_UNIT_PATH: `${units}:${targets}`,
      SYSTEMD_GENERATOR_PATH: targets,
      SYSTEMD_ENVIRONMENT_GENERATOR_PATH: targets,
    });
    for (let tries = 0; tries < 200; tries++) {
      const { code } = await lab.run(['systemctl', '--user', 'is-active', 'default.target']);
      if (code === 0) return lab;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await lab.end();
    throw new Error('systemd has not started within 20 s');
  }

  /** As nobody. */
  async run(argv: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    const child = spawn(
      'nsenter',
      ['--target', String(this.#inner), '--mount', '--pid', '--cgroup', '--ipc', '--uts', '--', ...AS_NOBODY, ...argv],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: process.env.PATH, LC_ALL: 'C', XDG_RUNTIME_DIR: RUNTIME, ...env },
        timeout: 60_000,
      },
    );
    const ended = { code: null as number | null, stdout: '', stderr: '' };
    child.stdout.on('data', (part) => {
      ended.stdout += part;
    });
    child.stderr.on('data', (part) => {
      ended.stderr += part;
    });
    [ended.code] = await once(child, 'close');
    return ended;
  }

  async end(): Promise<void> {
    const exit = once(this.#outer, 'exit');
    this.#outer.kill('SIGKILL');
    await exit;
    removeGroup(this.#group);
  }

  /** All is prepared once a process of nobody runs. */
  async #isReady(): Promise<boolean> {
    const child = childOf(this.#inner);
    if (child === undefined) return false;
    try {
      return statSync(`/proc/${child}`).uid === NOBODY;
    } catch {
      return false;
    }
  }
}

function groupRoot(): string | undefined {
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((path) => existsSync(join(path, 'cgroup.controllers')));
}

/** Its processes are gone; they take a moment to be counted out. */
function removeGroup(group: string): void {
  for (let tries = 0; tries < 50 && existsSync(group); tries++) {
    spawnSync('sleep', ['0.1']);
    try {
      for (const name of readdirSync(group, { recursive: true, withFileTypes: true }).reverse()) {
        if (name.isDirectory()) rmdirSync(join(name.parentPath, name.name));
      }
      rmdirSync(group);
    } catch {
      // Once more.
    }
  }
}

function childOf(pid: number | undefined): number | undefined {
  try {
    const [child = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return child === '' ? undefined : Number(child);
  } catch {
    return undefined;
  }
}
