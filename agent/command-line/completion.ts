import { Argument } from 'commander';
import { add, type Define } from './command.ts';

const INSTALL = `
To install it:
  bash  direct-agent completion bash > ~/.local/share/bash-completion/completions/direct-agent
        or, without the package bash-completion, in ~/.bashrc:
        eval "$(direct-agent completion bash)"
  zsh   in ~/.zshrc, below compinit:
        source <(direct-agent completion zsh)
  fish  direct-agent completion fish > ~/.config/fish/completions/direct-agent.fish`;

export const defineCompletion: Define = (program, run) => {
  add(program, 'completion', 'Print what a shell needs to complete the command line.', 'direct-agent completion bash')
    .addArgument(new Argument('<shell>', 'which').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', INSTALL)
    .action((shell: string) =>
      run(async (context) => (await import('../commands/completion.ts')).completion(context, shell, program)),
    );
};
