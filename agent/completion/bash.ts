/** Completion for bash 3.2 and later (macOS has that), without the package bash-completion. */
import type { CommandSpec, Value } from './spec.ts';

export function bashCompletion(specs: readonly CommandSpec[]): string {
  return `# bash completion for direct-agent. For good: direct-agent completion bash > ~/.local/share/bash-completion/completions/direct-agent
_direct_agent_at() {
  commands='' options='' valued=''
  case $1 in
${specs.map(commandCase).join('\n')}
  esac
}

_direct_agent_value() {
  case "$1 $2" in
${specs.flatMap(valueCases).join('\n')}
  esac
}

_direct_agent() {
  local commands options valued position=0 at='' word i
  # “=” and “:” split words here.
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  if [[ $current == = ]]; then
    current=''
  elif [[ $before == = ]]; then
    before=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  COMPREPLY=()
  _direct_agent_at ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $word == -* ]]; then
      [[ " $valued " == *" $word "* ]] || continue
      [[ \${COMP_WORDS[i + 1]} == = ]] && ((i++))
      ((i++))
    elif [[ -n $commands && " $commands " == *" $word "* ]]; then
      at="$at/$word"
      _direct_agent_at "$at"
    else
      ((position++))
    fi
  done
  if [[ " $valued " == *" $before "* && $before == -* ]]; then
    _direct_agent_value "$at" "$before"
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ -n $commands ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$current"))
  else
    _direct_agent_value "$at" "$position"
  fi
}

complete -F _direct_agent direct-agent
`;
}

function commandCase({ path, commands, options }: CommandSpec): string {
  const names = options.flatMap((option) => option.names);
  const valued = options.filter(({ value }) => value !== undefined).flatMap((option) => option.names);
  const words = [
    ...(commands.length === 0 ? [] : [`commands='${commands.map(({ name }) => name).join(' ')}'`]),
    `options='${names.join(' ')}'`,
    ...(valued.length === 0 ? [] : [`valued='${valued.join(' ')}'`]),
  ];
  return `    '${at(path)}') ${words.join(' ')} ;;`;
}

/** What follows an option, by its name, and an argument, by its position. */
function valueCases({ path, options, args, variadic }: CommandSpec): string[] {
  return [
    ...options.flatMap(({ names, value }) =>
      names.map((name) => valueCase(`'${at(path)} ${name}'`, value ?? { kind: 'text' })),
    ),
    ...args.map((value, index) => {
      const position = variadic && index === args.length - 1 ? `'${at(path)} '*` : `'${at(path)} ${index}'`;
      return valueCase(position, value);
    }),
  ].flatMap((line) => line ?? []);
}

function valueCase(pattern: string, value: Value): string | undefined {
  if (value.kind === 'text') return undefined;
  const words = { file: '-f', folder: '-d', words: value.kind === 'words' ? `-W '${value.words.join(' ')}'` : '' };
  if (value.kind === 'words') return `    ${pattern}) COMPREPLY=($(compgen ${words.words} -- "$current")) ;;`;
  // So that bash escapes spaces, and adds a slash to folders.
  return `    ${pattern}) compopt -o filenames 2>/dev/null; local IFS=$'\\n'; COMPREPLY=($(compgen ${words[value.kind]} -- "$current")) ;;`;
}

function at(path: readonly string[]): string {
  return path.map((name) => `/${name}`).join('');
}
