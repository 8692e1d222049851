/** Completion for zsh, by its own _arguments: zshcompsys(1). */
import type { CommandSpec, OptionSpec, Value } from './spec.ts';

export function zshCompletion(specs: readonly CommandSpec[]): string {
  return `#compdef direct-agent
# zsh completion for direct-agent. For good: direct-agent completion zsh > a folder of $fpath/_direct-agent

${specs.map(functionOf).join('\n')}
if [[ $funcstack[1] == _direct-agent ]]; then
  _direct-agent "$@"
else
  compdef _direct-agent direct-agent
fi
`;
}

function functionOf(spec: CommandSpec): string {
  const { path, commands, options, args, variadic } = spec;
  const words = options.flatMap(optionWords);
  if (commands.length === 0) {
    const last = args.length - 1;
    const values = args.map((value, index) =>
      quoted(
        `${variadic && index === last ? '*' : index + 1}:${value.kind === 'text' ? ' ' : 'value'}:${action(value)}`,
      ),
    );
    return `${name(path)}() {\n  _arguments -S ${[...words, ...values].join(' \\\n    ')}\n}\n`;
  }
  const list = commands.map(({ name, description }) => quoted(`${name}:${description.replaceAll(':', '\\:')}`));
  return `${name(path)}() {
  local state line
  typeset -A opt_args
  _arguments -C ${[...words, quoted('1: :->command'), quoted('*:: :->rest')].join(' \\\n    ')}
  case $state in
    command)
      local -a commands
      commands=(
        ${list.join('\n        ')}
      )
      _describe -t commands command commands
      ;;
    rest)
      case $line[1] in
${commands.map((one) => `        ${one.name}) ${name([...path, one.name])} ;;`).join('\n')}
      esac
      ;;
  esac
}
`;
}

/** One word for each name; a long one takes “=” as well. */
function optionWords({ names, description, value }: OptionSpec): string[] {
  const text = description.replace(/[[\]\\:]/g, '\\$&');
  return names.map((one) => {
    const follows = value === undefined ? '' : `:value:${action(value)}`;
    const sign = value !== undefined && one.startsWith('--') ? '=' : '';
    return quoted(`${one}${sign}[${text}]${follows}`);
  });
}

function action(value: Value): string {
  if (value.kind === 'words') return `(${value.words.join(' ')})`;
  return { file: '_files', folder: '_files -/', text: '' }[value.kind];
}

function name(path: readonly string[]): string {
  return ['_direct-agent', ...path].join('_');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
