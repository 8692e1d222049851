/** How the help reads. Commander leaves colours out where nobody sees them, or NO_COLOR is set. */
import { styleText } from 'node:util';
import { type Command, Help, type Option } from 'commander';

/** Lines that are longer are hard to read. */
const MAX_WIDTH = 100;
/** What every command takes comes after what is its own. */
const COMMON = ['--config', '--folder', '--log-level', '--json', '--help'];

const KNOWN_TO_ALL = ['--help', '--version'];

/** For a command and all that are added to it afterwards. */
export function styleHelp(program: Command): void {
  program.configureHelp({
    groupItems,
    visibleOptions,
    visibleCommands: (command) => new Help().visibleCommands(command).filter((one) => one.name() !== 'help'),
    // Without “[options]”, which nearly all have.
    subcommandTerm: (command) =>
      [
        command.name(),
        ...command.registeredArguments.map((argument) => {
          const name = argument.name() + (argument.variadic ? '…' : '');
          return argument.required ? `<${name}>` : `[${name}]`;
        }),
      ].join(' '),
    optionDescription: (option) => {
      const { argChoices: choices = [], description } = option;
      // Many say what each choice means.
      const isSaid = choices.every((choice) => description.includes(choice));
      return isSaid ? description : `${description} (${choices.join(', ')})`;
    },
    styleTitle: (text) => styleText('bold', text, { validateStream: false }),
    styleArgumentText: (text) => styleText('dim', text, { validateStream: false }),
  });
  program.configureOutput({
    getOutHelpWidth: () => width(process.stdout),
    getErrHelpWidth: () => width(process.stderr),
    outputError: (text, write) => write(text.replace(/^error: /, 'direct-agent: ')),
  });
}

function width({ isTTY, columns }: NodeJS.WriteStream): number {
  return isTTY ? Math.min(columns, MAX_WIDTH) : 80;
}

function visibleOptions(command: Command): Option[] {
  const options = new Help().visibleOptions(command);
  // Groups of commands have those that everybody knows, and no others.
  if (options.every(({ long }) => KNOWN_TO_ALL.includes(long ?? ''))) return command.commands.length > 0 ? [] : options;
  const rank = ({ long }: Option) => COMMON.indexOf(long ?? '');
  return options.toSorted((a, b) => rank(a) - rank(b));
}

/** Groups in the order of what is shown, not of what was added first. */
function groupItems<T extends Command | Option>(_all: T[], visible: T[], getGroup: (item: T) => string) {
  return new Help().groupItems([], visible, getGroup);
}
