/** Completion for fish: complete(1) of fish 3. */
import type { CommandSpec, OptionSpec, Value } from './spec.ts';

export function fishCompletion(specs: readonly CommandSpec[]): string {
  const lines = specs.flatMap((spec) => [
    ...spec.commands.map(({ name, description }) => line(spec, `-a ${name} -d ${quoted(description)}`, 0)),
    ...spec.options.map((option) => line(spec, optionWords(option))),
    ...spec.args.flatMap((value, index) => {
      if (value.kind === 'text') return [];
      const isLast = spec.variadic && index === spec.args.length - 1;
      return [line(spec, value.kind === 'words' ? `-a ${wordsOf(value)}` : files(value), isLast ? undefined : index)];
    }),
  ]);
  return `# fish completion for direct-agent. For good: direct-agent completion fish > ~/.config/fish/completions/direct-agent.fish
# Whether the command line is at a command, such as /key/create, and at which of its arguments.
function __direct_agent_at
    set -l at ''
    set -l position 0
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- "$at $word" ${specs.flatMap(valuedOf).map(quoted).join(' ')}
            and set skip 1
        else if contains -- "$at/$word" ${specs.flatMap(({ path }) => (path.length === 0 ? [] : [quoted(at(path))])).join(' ')}
            set at "$at/$word"
            set position 0
        else
            set position (math $position + 1)
        end
    end
    test "$at" = "$argv[1]"
    and test (count $argv) = 1 -o "$argv[2]" = $position
end

complete -c direct-agent -f
${lines.join('\n')}
`;
}

/** With `position`, only while so many arguments stand before. */
function line({ path }: CommandSpec, what: string, position?: number): string {
  const condition = `__direct_agent_at ${quoted(at(path))}${position === undefined ? '' : ` ${position}`}`;
  return `complete -c direct-agent -n ${quoted(condition)} ${what}`;
}

function optionWords({ names, description, value }: OptionSpec): string {
  const flags = names.map((one) => (one.startsWith('--') ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`));
  return [...flags, ...(value === undefined ? [] : [valueWords(value)]), `-d ${quoted(description)}`].join(' ');
}

function valueWords(value: Value): string {
  if (value.kind === 'words') return `-x -a ${wordsOf(value)}`;
  if (value.kind === 'text') return '-x';
  return value.kind === 'folder' ? `-x ${files(value)}` : `-r ${files(value)}`;
}

function files({ kind }: Value): string {
  return kind === 'folder' ? `-a '(__fish_complete_directories (commandline -ct))'` : '-F';
}

function valuedOf({ path, options }: CommandSpec): string[] {
  return options
    .filter(({ value }) => value !== undefined)
    .flatMap(({ names }) => names.map((one) => `${at(path)} ${one}`));
}

function wordsOf(value: Value): string {
  return quoted(value.kind === 'words' ? value.words.join(' ') : '');
}

function at(path: readonly string[]): string {
  return path.map((name) => `/${name}`).join('');
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
