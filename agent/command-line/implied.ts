/** Command lines that leave out a command. */
import type { Command } from 'commander';

/** What is meant where no command is named, but an option or nothing. */
export const IMPLIED: Readonly<Record<string, string>> = { 'direct-agent': 'up', invite: 'create' };

/**
 * The command line with the command that it leaves out. Not commander's `isDefault`, which would take a mistyped command
 * for an argument of “up”.
 */
export function withImplied(program: Command, args: readonly string[]): string[] {
  const path: string[] = [];
  let command = program;
  for (const word of args) {
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) break;
    path.push(word);
    command = next;
  }
  const rest = args.slice(path.length);
  const implied = IMPLIED[command.name()];
  const isBare = rest[0] === undefined || (rest[0].startsWith('-') && !OWN_OPTIONS.includes(rest[0]));
  return implied !== undefined && isBare ? [...path, implied, ...rest] : [...args];
}

const OWN_OPTIONS = ['-h', '--help', '-V', '--version'];
