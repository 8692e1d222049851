/** The command line of the agent: which commands there are. Exit codes are in command-error.ts. */
import { Command } from 'commander';
import type { Run } from './command.ts';
import { defineCompletion } from './completion.ts';
import { defineConfig } from './config.ts';
import { defineConnect } from './connect.ts';
import { defineDeploy } from './deploy.ts';
import { defineDevice } from './device.ts';
import { defineDoctor } from './doctor.ts';
import { defineInvite } from './invite.ts';
import { defineKey } from './key.ts';
import { defineLogin } from './login.ts';
import { defineOpen } from './open.ts';
import { defineService } from './service.ts';
import { defineStatus } from './status.ts';
import { defineUp } from './up.ts';

/** In the order of the help: as a person needs them. */
const DEFINITIONS = [
  defineDeploy,
  defineLogin,
  defineUp,
  defineStatus,
  defineDoctor,
  defineOpen,
  defineConnect,
  defineDevice,
  defineKey,
  defineInvite,
  defineService,
  defineConfig,
  defineCompletion,
];

export function makeProgram(run: Run): Command {
  const program = new Command('direct-agent')
    .description('Reach the language model on this machine from anywhere.')
    .showHelpAfterError('Run “direct-agent --help” for what there is.')
    .exitOverride();
  for (const define of DEFINITIONS) define(program, run);
  return program;
}
