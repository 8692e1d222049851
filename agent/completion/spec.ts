/** What a shell has to know of the command line, taken from its own definitions. */
import { type Argument, type Command, Help, type Option } from 'commander';

/** What stands behind an option or as an argument. */
export type Value =
  | { kind: 'file' }
  | { kind: 'folder' }
  | { kind: 'words'; words: readonly string[] }
  | { kind: 'text' };

export interface CommandSpec {
  /** Without the program's name; empty for the program itself. */
  path: readonly string[];
  description: string;
  commands: readonly { name: string; description: string }[];
  options: readonly OptionSpec[];
  /** By position. The last one repeats if `variadic`. */
  args: readonly Value[];
  variadic: boolean;
}

export interface OptionSpec {
  /** `--long` first, then `-s`. */
  names: readonly string[];
  description: string;
  /** Undefined where nothing follows. */
  value: Value | undefined;
}

/** Words for arguments whose choices the definitions leave out, because they take long to load. By the argument's name. */
export type Extra = Readonly<Record<string, readonly string[]>>;

/** Every command, the program first. `implied`: whose options a command takes where that one is left out. */
export function specify(
  program: Command,
  { extra, implied }: { extra: Extra; implied: Readonly<Record<string, string>> },
): CommandSpec[] {
  const all = walk(program, [], extra);
  return all.map((spec) => {
    const name = implied[spec.path.at(-1) ?? program.name()];
    const meant = name === undefined ? undefined : all.find(({ path }) => path.join() === [...spec.path, name].join());
    if (meant === undefined) return spec;
    const own = new Set(spec.options.flatMap(({ names }) => names));
    const more = meant.options.filter(({ names }) => !names.some((one) => own.has(one)));
    return { ...spec, options: [...spec.options, ...more] };
  });
}

function walk(command: Command, path: readonly string[], extra: Extra): CommandSpec[] {
  const help = new Help();
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help');
  const spec: CommandSpec = {
    path,
    description: command.description(),
    commands: commands.map((one) => ({ name: one.name(), description: one.description() })),
    options: help.visibleOptions(command).map(optionOf),
    args: command.registeredArguments.map((argument) => kindOf(argument, argument.name(), extra)),
    variadic: command.registeredArguments.at(-1)?.variadic ?? false,
  };
  return [spec, ...commands.flatMap((one) => walk(one, [...path, one.name()], extra))];
}

function optionOf(option: Option): OptionSpec {
  const takes = option.required || option.optional;
  const name = /[<[](.+?)(\.\.\.)?[>\]]/.exec(option.flags)?.[1] ?? '';
  return {
    names: [option.long, option.short].filter((one) => typeof one === 'string'),
    description: option.description,
    value: takes ? kindOf(option, name, {}) : undefined,
  };
}

/** The name of a value says what it is: `<file>`, `<folder>`, `<yes|no>`. */
function kindOf({ argChoices }: Option | Argument, name: string, extra: Extra): Value {
  const words = argChoices ?? extra[name] ?? (name.includes('|') ? name.split('|') : undefined);
  if (words !== undefined) return { kind: 'words', words };
  return name === 'file' || name === 'folder' ? { kind: name } : { kind: 'text' };
}
