/** `direct-agent completion`: what a shell needs to complete the command line. */
import type { Command } from 'commander';
import { EXIT, type ExitCode } from '../command-error.ts';
import { IMPLIED } from '../command-line/implied.ts';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { specify } from '../completion/spec.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { KEYS } from '../settings.ts';
import type { Context } from './context.ts';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/** `shell` is one of those that the definition allows. */
export async function completion({ out }: Context, shell: string, program: Command): Promise<ExitCode> {
  const specs = specify(program, { extra: { setting: KEYS }, implied: IMPLIED });
  out(SHELLS[shell as keyof typeof SHELLS](specs).trimEnd());
  return EXIT.ok;
}
