#!/usr/bin/env node
/** The program `direct-agent`: what its commands take from the process, and how it ends. */
import { hostname, networkInterfaces } from 'node:os';
import { CommanderError } from 'commander';
import { CommandError, EXIT, type ExitCode } from './command-error.ts';
import { withImplied } from './command-line/implied.ts';
import { makeProgram } from './command-line/program.ts';
import type { Context } from './commands/context.ts';
import { ConfigError } from './config-error.ts';
import { agentFetch } from './fetch.ts';
import { terminalsOf } from './live-terminal.ts';
import { pause } from './pause.ts';

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second time somebody means it.
    if (ending.signal.aborted) process.exit(EXIT.interrupted);
    ending.abort();
  });
}

// Who started this with a channel, as the service's supervisor does, ends it by closing that; on Windows no signal can.
process.once('disconnect', () => ending.abort());

// werift answers some malformed packets with a rejection that nobody awaits; a stranger's packet ends nothing here.
process.on('unhandledRejection', (reason) => {
  say(`unexpected: ${reason instanceof Error ? reason.stack : 'a rejection without an error'}`);
});

// Who reads only the first lines of either has what they want; an agent goes on serving.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

const terminals = terminalsOf(process);

/** Above what is shown live, where that is the same terminal. */
function print(stream: typeof process.stdout | typeof process.stderr, line: string): void {
  const { screen } = (stream === process.stdout ? terminals.out : terminals.err) ?? {};
  const write = (text: string) => void stream.write(text);
  if (screen === undefined) write(`${line}\n`);
  else screen.print(`${line}\n`, write);
}

const context: Context = {
  out: (line) => print(process.stdout, line),
  err: (line) => print(process.stderr, line),
  terminals,
  columns: process.stderr.isTTY ? process.stderr.columns : undefined,
  env: process.env,
  fetch: agentFetch,
  now: () => Date.now(),
  sleep: pause,
  signal: ending.signal,
  hostname,
  interfaces: networkInterfaces,
};

function say(line: string): void {
  if (context.failed === undefined) print(process.stderr, `direct-agent: ${line}`);
  else context.failed(line);
}

/** Ends the process when everything that was printed has left it. */
function exit(code: number): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}

async function run(command: (context: Context) => Promise<ExitCode>): Promise<void> {
  try {
    exit(await command(context));
  } catch (error) {
    if (error instanceof ConfigError) error.problems.forEach(say);
    else if (error instanceof CommandError) say(error.message);
    else if (context.signal.aborted) say('stopped.');
    else say(`unexpected: ${error instanceof Error ? error.message : String(error)}. Please report this.`);
    if (error instanceof ConfigError) exit(EXIT.config);
    else if (error instanceof CommandError) exit(error.exitCode);
    else exit(context.signal.aborted ? EXIT.interrupted : EXIT.unexpected);
  }
}

const program = makeProgram(run);
try {
  await program.parseAsync(withImplied(program, process.argv.slice(2)), { from: 'user' });
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage);
}
