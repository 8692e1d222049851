/**
 * The task for the Task Scheduler of Windows ([MS-TSCH], 2.5). The supervisor runs in it: a task goes by no exit codes, and
 * keeps no log.
 */
import { CommandError, EXIT } from '../command-error.ts';
import { commandLine, DESCRIPTION, type Program } from './program.ts';
import { xml } from './xml.ts';

export interface WindowsUser {
  /** `DOMAIN\name` */
  name: string;
  /** `C:\Windows` */
  systemRoot: string;
}

/** For a file in UTF-16, as schtasks wants it. */
export function scheduledTask(program: Program, { name, systemRoot }: WindowsUser): string {
  const words = commandLine(program, ['service', 'run']);
  const odd = words.find((word) => /%[^%]+%|\$\(/.test(word));
  if (odd !== undefined) {
    throw new CommandError(
      EXIT.usage,
      `The Task Scheduler would read a variable in ${odd}, and there is no way to write it otherwise. Use a folder without “%” and “$(”.`,
    );
  }
  // Without a window: a program of the console opens one otherwise.
  const args = ['--headless', '--', ...words.map(windowsWord)].join(' ');
  return `<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>${xml(DESCRIPTION)}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>${xml(name)}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>${xml(name)}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <Hidden>true</Hidden>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>5</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>${xml(`${systemRoot}\\System32\\conhost.exe`)}</Command>
      <Arguments>${xml(args)}</Arguments>
      <WorkingDirectory>${xml(program.folder)}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
`;
}

/** A word as CommandLineToArgvW takes a command line apart: backslashes count only before a quotation mark. */
export function windowsWord(word: string): string {
  return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`;
}
