/** `direct-agent service run`: what launchd and the Task Scheduler run. People run `up`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { EXIT, type ExitCode } from '../command-error.ts';
import { reasonOf } from '../config-messages.ts';
import { makeLog } from '../log.ts';
import { LogFile } from '../service/log-file.ts';
import { thisMachine } from '../service/machine.ts';
import { commandLine, logFileOf } from '../service/program.ts';
import { writeState } from '../service/service-state.ts';
import { type Exit, type Run, supervise } from '../service/supervisor.ts';
import { type Context, type Flags, openStore } from './context.ts';

/** Until the end of the service, or of an agent that shall not be started again. */
export async function runService(context: Context, flags: Flags): Promise<ExitCode> {
  const { node, main } = thisMachine();
  const folder = resolve(openStore(context, flags).folder);
  const config = typeof flags.config === 'string' ? resolve(flags.config) : undefined;
  const argv = commandLine({ node, main, folder, config }, ['up']);
  const file = new LogFile(logFileOf(folder));
  const log = makeLog({ level: 'info', write: (text) => file.append(text) });
  await supervise({
    start: () => start(argv, file),
    log: (line) => log('info', line),
    state: (state) => {
      try {
        writeState(folder, state);
      } catch (error) {
        // Without it “service status” is out of date, and that is all.
        log('warn', `service: its state cannot be written (${reasonOf(error)})`);
      }
    },
    now: context.now,
    sleep: context.sleep,
    signal: context.signal,
  });
  return EXIT.ok;
}

function start([command = '', ...args]: readonly string[], file: LogFile): Run {
  // The agent ends when the channel does, so it never outlives this process.
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], windowsHide: true });
  const outputs = [child.stdout, child.stderr].map(async (output) => {
    output?.on('data', (part: Buffer) => file.append(part));
    if (output !== null) await once(output, 'close');
  });
  const ended = new Promise<Exit>((resolve) => {
    child.once('error', ({ message }) => {
      file.append(`${message}\n`);
      resolve({ code: null, signal: 'a failed start' });
    });
    // Not “close”, which does not come after disconnect().
    child.once('exit', (code, signal) => {
      void Promise.allSettled(outputs).then(() => resolve({ code, signal }));
    });
  });
  return {
    pid: child.pid,
    ended,
    stop: () => child.connected && child.disconnect(),
    kill: () => void child.kill('SIGKILL'),
  };
}
