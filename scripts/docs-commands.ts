/** docs/reference/commands.md: every command with its options and its example, as commander knows them. */
import type { Argument, Command, Option } from 'commander';
import { EXIT, EXIT_MEANING } from '../agent/command-error.ts';
import { makeProgram } from '../agent/command-line/program.ts';
import { flagName } from '../agent/config-messages.ts';
import { KEYS } from '../agent/settings.ts';
import { GENERATED } from './docs-page.ts';

const INTRODUCTION = `# Reference: commands

\`direct-agent\` alone is \`direct-agent up\`. stdout has only what a program wants: the address to open, a key, a list; everything else is on stderr. \`direct-agent help <command>\` shows what stands here.
`;

/** Every command takes these, so they are said once. */
const COMMON = ['--config', '--folder'];

/** Flags that set a setting. */
const SETTINGS = new Set(KEYS.map(flagName));

export function commandsReference(): string {
  const program = makeProgram(async () => {});
  const commands = shownBelow(program).flatMap((command) => leaves(command));
  const common = commands[0]?.options.filter(isCommon) ?? [];
  const parts = [
    INTRODUCTION.trim(),
    commands.map((command) => `[${nameOf(command)}](#${nameOf(command).replaceAll(' ', '-')})`).join(' · '),
    `Every command takes:\n\n${optionTable(common)}`,
    ...commands.map(entry),
    `## Exit codes\n\n${exitCodes()}`,
  ];
  return `${GENERATED}\n${parts.join('\n\n')}\n`;
}

export function exitCodes(): string {
  const codes = Object.values(EXIT).toSorted((a, b) => a - b);
  return table(
    ['code', 'meaning'],
    codes.map((code) => [`${code}`, EXIT_MEANING[code]]),
  );
}

/** Commands that do something: `connect` does, beside those below it; `key` is only the name of three. */
function leaves(command: Command): Command[] {
  const isGroup = command.options.length + command.registeredArguments.length === 0;
  return [...(isGroup ? [] : [command]), ...shownBelow(command).flatMap((inner) => leaves(inner))];
}

/** Without those that are for the program itself. */
function shownBelow(command: Command): Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help');
}

function nameOf(command: Command): string {
  const above = command.parent;
  return above?.parent ? `${nameOf(above)} ${command.name()}` : command.name();
}

function entry(command: Command): string {
  const name = nameOf(command);
  const usage = ['direct-agent', name, ...command.registeredArguments.map(argumentText)].join(' ');
  const own = command.options.filter((option) => !isCommon(option) && !option.hidden);
  const settings = own.filter(isSetting);
  const others = own.filter((option) => !isSetting(option));
  const example = exampleOf(command);
  return [
    `## ${name}`,
    `\`${usage}\``,
    command.description(),
    others.length > 0 ? optionTable(others) : '',
    settings.length > 3
      ? `The flags of the [settings](configuration.md): ${settings.map((option) => `\`${option.flags}\``).join(', ')}.`
      : settings.length > 0
        ? optionTable(settings)
        : '',
    example === '' ? '' : `\`\`\`sh\n${example}\n\`\`\``,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function isCommon({ long }: Option): boolean {
  return COMMON.includes(long ?? '');
}

function isSetting({ long }: Option): boolean {
  return SETTINGS.has(long ?? '');
}

function argumentText(argument: Argument): string {
  const name = argument.argChoices?.join('|') ?? `${argument.name()}${argument.variadic ? '…' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

function optionTable(options: readonly Option[]): string {
  return table(
    ['option', 'meaning'],
    options.map((option) => [`\`${option.flags.replaceAll('|', '\\|')}\``, meaningOf(option)]),
  );
}

function meaningOf({ description, argChoices = [], mandatory }: Option): string {
  const choices = argChoices.length > 0 ? `one of ${argChoices.map((choice) => `\`${choice}\``).join(', ')}` : '';
  return [mandatory ? 'needed' : '', description.replaceAll('|', '\\|'), choices]
    .filter((part) => part !== '')
    .join('; ');
}

/** What stands after the word Example in the command's help. */
function exampleOf(command: Command): string {
  const parts: string[] = [];
  const before = command.configureOutput();
  command.configureOutput({ ...before, writeOut: (text) => void parts.push(text) });
  command.outputHelp();
  command.configureOutput(before);
  const [, text = ''] = /\nExamples?:\n([\s\S]*?)(?:\n\s*\n|$)/.exec(parts.join('')) ?? [];
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n');
}

export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [titles, titles.map(() => '---'), ...rows];
  return all.map((row) => `| ${row.join(' | ')} |`).join('\n');
}
