/** `direct-agent service`: the agent as a service of this machine, by what the machine has for that. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CommandError, EXIT, EXIT_MEANING, type ExitCode, plain } from '../command-error.ts';
import { configFile } from '../config.ts';
import { ConfigError } from '../config-error.ts';
import { ENV_PREFIX, reasonOf } from '../config-messages.ts';
import { endOf, lastLines, newText } from '../service/log-file.ts';
import { type Machine, thisMachine } from '../service/machine.ts';
import type { Manager, ServiceFile, ServiceStatus, Step } from '../service/manager.ts';
import { lastingNode, logFileOf, type Program, passingPlace } from '../service/program.ts';
import { launchd, taskScheduler } from '../service/supervised.ts';
import { systemd } from '../service/systemd.ts';
import { type Context, configSources, type Flags, openStore, readConfig } from './context.ts';

/** An agent that cannot start has ended by then. */
const FIRST_LOOK_MS = 3_000;
const RETRY_MS = 500;
const FOLLOW_MS = 500;
const MAX_LINES = 100_000;

/** @throws CommandError or ConfigError */
export async function installService(
  context: Context,
  flags: Flags,
  machine: Machine = thisMachine(),
): Promise<ExitCode> {
  const place = passingPlace(machine.main);
  if (place !== undefined) {
    throw new CommandError(
      EXIT.usage,
      `This program was started by ${place}, which may delete it at any time; a service needs one that stays. Run: npm install --global direct-agent && direct-agent service install`,
    );
  }
  checkConfig(context, flags, machine);
  const { manager, program } = open(context, flags, machine);
  if (flags.dryRun === true) return show(context, manager);
  if (manager.problem !== undefined) throw new CommandError(EXIT.usage, manager.problem);
  // launchd and systemd start nothing where it is missing.
  await orDenied(program.folder, () => mkdirSync(program.folder, { recursive: true, mode: 0o700 }));
  await orDenied(manager.file.path, () => write(manager.file));
  await take(context, machine, manager.install);
  context.err(`The agent is a service now (${manager.name}): ${manager.file.path}`);
  await context.sleep(FIRST_LOOK_MS, context.signal);
  const status = await manager.status();
  if (!status.running) {
    const why = status.last_exit === null ? '' : ` It ended ${howEnded(status.last_exit)}.`;
    throw new CommandError(EXIT.tryAgain, `It does not run.${why} See: direct-agent service logs`);
  }
  context.err(`It runs (process ${status.pid}) with the files in ${program.folder}.`);
  context.err('See: direct-agent service status, and direct-agent service logs');
  return EXIT.ok;
}

/** The login and the configuration stay. @throws CommandError */
export async function uninstallService(
  context: Context,
  flags: Flags,
  machine: Machine = thisMachine(),
): Promise<ExitCode> {
  const { manager } = openUsable(context, flags, machine);
  const { installed } = await manager.status();
  if (!installed && !machine.exists(manager.file.path)) {
    context.err('The agent is no service here; there is nothing to do.');
    return EXIT.ok;
  }
  await take(context, machine, manager.uninstall);
  await orDenied(manager.file.path, () => rmSync(manager.file.path, { force: true }));
  await take(context, machine, manager.afterwards);
  context.err('The agent is stopped and no service any longer. Its login and its configuration are still there.');
  return EXIT.ok;
}

/** @throws CommandError */
export async function restartService(
  context: Context,
  flags: Flags,
  machine: Machine = thisMachine(),
): Promise<ExitCode> {
  const { manager } = openUsable(context, flags, machine);
  if (!(await manager.status()).installed) throw new CommandError(EXIT.usage, NO_SERVICE);
  await take(context, machine, manager.restart);
  context.err('The agent was started again.');
  return EXIT.ok;
}

const NO_SERVICE = 'The agent is no service here. Make it one with: direct-agent service install';

/** Ends with 75 while it does not run. @throws CommandError */
export async function serviceStatus(
  context: Context,
  flags: Flags,
  machine: Machine = thisMachine(),
): Promise<ExitCode> {
  const { manager } = open(context, flags, machine);
  const status = await manager.status();
  const meaning = meaningOf(status.last_exit?.code);
  if (flags.json === true) {
    const last_exit = status.last_exit === null ? null : { ...status.last_exit, meaning };
    context.out(JSON.stringify({ manager: manager.name, file: manager.file.path, ...status, last_exit }, null, 2));
  } else if (!status.installed) {
    context.out(NO_SERVICE);
  } else {
    for (const line of describe(status, manager)) context.out(line);
  }
  return status.running ? EXIT.ok : EXIT.tryAgain;
}

/** @throws CommandError */
export async function serviceLogs(context: Context, flags: Flags, machine: Machine = thisMachine()): Promise<ExitCode> {
  const count = Number(flags.lines ?? 50);
  if (!Number.isInteger(count) || count < 0 || count > MAX_LINES) {
    throw new CommandError(EXIT.usage, `--lines: ${JSON.stringify(flags.lines)} is no number from 0 to ${MAX_LINES}.`);
  }
  const { manager, program } = open(context, flags, machine);
  const follow = flags.follow === true;
  if (manager.logs !== undefined) {
    const code = await machine.show(manager.logs(count, follow), context.signal);
    if (code === 127)
      throw new CommandError(EXIT.usage, 'The program journalctl is missing, which shows the logs of systemd.');
    return code === 0 || context.signal.aborted ? EXIT.ok : EXIT.tryAgain;
  }
  const path = logFileOf(program.folder);
  if (!machine.exists(path)) context.err(`There is no log yet (${path}).`);
  let read = endOf(path);
  for (const line of lastLines(path, count)) context.out(line);
  while (follow && !context.signal.aborted) {
    await context.sleep(FOLLOW_MS, context.signal);
    const next = newText(path, read);
    read = next.end;
    if (next.text !== '') context.out(next.text.replace(/\n$/, ''));
  }
  return EXIT.ok;
}

/** @throws CommandError where this machine runs no services */
function openUsable(context: Context, flags: Flags, machine: Machine): { manager: Manager; program: Program } {
  const opened = open(context, flags, machine);
  if (opened.manager.problem !== undefined) throw new CommandError(EXIT.usage, opened.manager.problem);
  return opened;
}

function open(context: Context, flags: Flags, machine: Machine): { manager: Manager; program: Program } {
  const sources = configSources(context, flags);
  const isNamed = flags.config !== undefined || Boolean(context.env[`${ENV_PREFIX}CONFIG`]);
  const program = {
    node: lastingNode(machine.node, machine.exists),
    main: machine.main,
    folder: resolve(openStore(context, flags).folder),
    config: isNamed ? configFile(sources) : undefined,
  };
  const options = { machine, env: context.env, now: context.now, program, system: flags.system === true };
  const make = { linux: systemd, darwin: launchd, win32: taskScheduler }[machine.platform as string];
  if (make === undefined) {
    throw new CommandError(
      EXIT.usage,
      `There is no way here to make a service on ${machine.platform}. Let its own system run: direct-agent up`,
    );
  }
  return { manager: make(options), program };
}

/** As the service will have it: without this shell's variables. */
function checkConfig(context: Context, flags: Flags, machine: Machine): void {
  const places = [`${ENV_PREFIX}CONFIG`, `${ENV_PREFIX}FOLDER`];
  const isSetting = (name: string) => name.startsWith(ENV_PREFIX) && !places.includes(name);
  const settings = Object.keys(context.env).filter((name) => isSetting(name) && context.env[name] !== '');
  const env = Object.fromEntries(Object.entries(context.env).filter(([name]) => !isSetting(name)));
  const store = openStore(context, flags);
  try {
    readConfig({ ...context, env }, flags, store);
  } catch (error) {
    const user = context.env.SUDO_USER;
    if (!(error instanceof ConfigError) || flags.folder !== undefined || user === undefined || machine.uid !== 0)
      throw error;
    throw new ConfigError([
      ...error.problems,
      `These are the files of root, in ${store.folder}. For those of ${plain(user)}, add --folder with the folder that “direct-agent config path” names without sudo.`,
    ]);
  }
  for (const name of settings) {
    context.err(`${name} is set here, and not for the service. Put it into the file: direct-agent config set`);
  }
}

// ---- what is done ----------------------------------------------------------------------------

async function take(context: Context, machine: Machine, steps: readonly Step[]): Promise<void> {
  for (const { argv, otherwise, tries = 1 } of steps) {
    let result = await machine.run(argv);
    for (let left = tries - 1; left > 0 && result.code !== 0 && !context.signal.aborted; left--) {
      await context.sleep(RETRY_MS, context.signal);
      result = await machine.run(argv);
    }
    if (result.code === 0) continue;
    if (otherwise === undefined) {
      const said = plain((result.stderr || result.stdout).trim().replaceAll(/\s+/g, ' '));
      throw new CommandError(EXIT.tryAgain, `This failed: ${asTyped(argv)} (${said || `code ${result.code}`})`);
    }
    if (otherwise !== '') context.err(otherwise);
  }
}

function write({ path, text, encoding }: ServiceFile): void {
  mkdirSync(dirname(path), { recursive: true });
  // schtasks knows UTF-16 by the mark at its beginning.
  writeFileSync(path, encoding === 'utf16le' ? `\ufeff${text}` : text, { encoding });
}

async function orDenied(path: string, work: () => void): Promise<void> {
  try {
    work();
  } catch (error) {
    throw new CommandError(
      EXIT.config,
      `${path} cannot be changed (${reasonOf(error)}). Check its owner and permissions.`,
    );
  }
}

// ---- what people read ------------------------------------------------------------------------

function show({ out, err }: Context, { file, install, problem }: Manager): ExitCode {
  err(`This would be written to ${file.path}:`);
  out(file.text);
  err('And these would be run:');
  for (const { argv } of install) out(asTyped(argv));
  if (problem !== undefined) err(`It would not work: ${problem}`);
  return EXIT.ok;
}

/** As a shell takes it. */
function asTyped(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./\\-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

function describe({ running, pid, since, restarts, last_exit }: ServiceStatus, { name, file }: Manager): string[] {
  const state = running ? `runs, process ${pid}${since === null ? '' : `, since ${moment(since)}`}` : 'does not run';
  return [
    `Service:    ${state}`,
    ...(last_exit === null ? [] : [`Last exit:  ${howEnded(last_exit)}`]),
    ...(restarts === 0 ? [] : [`Restarts:   ${restarts}`]),
    `Kept by:    ${name}, ${file.path}`,
    ...(running ? [] : ['Start it:   direct-agent service restart']),
  ];
}

function howEnded({ code, signal, at }: NonNullable<ServiceStatus['last_exit']>): string {
  const when = at === null ? '' : `${moment(at)}, `;
  const meaning = meaningOf(code);
  return code === null
    ? `${when}by ${signal ?? 'an unknown cause'}`
    : `${when}with code ${code}${meaning === null ? '' : `: ${meaning}`}`;
}

function meaningOf(code: number | null | undefined): string | null {
  return (
    new Map<number, string>(Object.entries(EXIT_MEANING).map(([key, text]) => [Number(key), text])).get(code ?? -1) ??
    null
  );
}

/** In UTC, to the second. */
function moment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
