/** The agent for launchd, launchd.plist(5). It knows no exit codes and no rotation of logs, so the supervisor runs there. */
import { commandLine, type Program, SERVICE_NAME } from './program.ts';
import { xml } from './xml.ts';

export function launchdAgent(program: Program): string {
  const words = commandLine(program, ['service', 'run']).map((word) => `    <string>${xml(word)}</string>`);
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${SERVICE_NAME}</string>
  <key>ProgramArguments</key>
  <array>
${words.join('\n')}
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>20</integer>
  <key>WorkingDirectory</key>
  <string>${xml(program.folder)}</string>
  <key>Umask</key>
  <integer>63</integer>
</dict>
</plist>
`;
}
