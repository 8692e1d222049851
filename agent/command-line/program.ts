/** The command line of the agent: which commands there are. Exit codes are in command-error.ts. */
import { Command } from 'commander';
import { VERSION } from '../version.ts';
import type { Define, Run } from './command.ts';
import { defineCompletion } from './completion.ts';
import { defineConfig } from './config.ts';
import { defineConnect } from './connect.ts';
import { defineDeploy } from './deploy.ts';
import { defineDevice } from './device.ts';
import { defineDoctor } from './doctor.ts';
import { styleHelp } from './help.ts';
import { defineInvite } from './invite.ts';
import { defineKey } from './key.ts';
import { defineLogin } from './login.ts';
import { defineOpen } from './open.ts';
import { defineService } from './service.ts';
import { defineStatus } from './status.ts';
import { defineUp } from './up.ts';

/** In the order of the help: as a person needs them. */
const DEFINITIONS: readonly (readonly [title: string, definitions: readonly Define[]])[] = [
  ['To begin:', [defineDeploy, defineLogin, defineUp]],
  ['To see how it does:', [defineStatus, defineDoctor, defineOpen]],
  ['From another computer:', [defineConnect]],
  ['To let people, devices and programs in:', [defineInvite, defineDevice, defineKey]],
  ['To keep it running:', [defineService, defineConfig, defineCompletion]],
];

export function makeProgram(run: Run): Command {
  const program = new Command('direct-agent')
    .usage('[command]')
    .description('Reach the language model on this machine from anywhere.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this')
    .helpCommand('help [command]')
    .addHelpText('after', '\nWhat a command takes, with an example:  direct-agent <command> --help')
    .showHelpAfterError('Run “direct-agent --help” for what there is.')
    .exitOverride();
  styleHelp(program);
  for (const [title, definitions] of DEFINITIONS) {
    program.commandsGroup(title);
    for (const define of definitions) define(program, run);
  }
  return program;
}
