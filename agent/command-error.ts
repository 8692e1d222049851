/** How a command of the command line fails: what a person reads, and what a script sees. */

/** Exit codes as in sysexits.h where it has one; docs/configuration.md explains each. */
export const EXIT = {
  ok: 0,
  /** The command line is wrong, or names what does not exist. */
  usage: 64,
  /** The edge refused for good. */
  refused: 69,
  /** A mistake of this program. */
  unexpected: 70,
  /** It may work later. */
  tryAgain: 75,
  /** What answered is no edge of ours, or its answer makes no sense. */
  protocol: 76,
  /** A person said no. */
  denied: 77,
  /** The configuration or a file of the agent is wrong or missing. */
  config: 78,
  /** Ctrl+C before the command had done its work; 128 + SIGINT. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What each means to somebody who sees the number alone. */
export const EXIT_MEANING: Readonly<Record<ExitCode, string>> = {
  0: 'done; for an agent that serves: ended by Ctrl+C or SIGTERM',
  64: 'the command line is wrong, or names what does not exist',
  69: 'the edge refused for good: the credential is wrong or revoked, the host unknown, or another agent took over',
  70: 'a mistake of this program',
  75: 'not now, perhaps later',
  76: 'what answered is no edge of direct-agent, or of another version',
  77: 'the owner refused the login',
  78: 'the configuration is wrong or missing, or a file of the agent is damaged',
  130: 'Ctrl+C before the work was done',
};

/** Ends a command. The message says what happened and what to do; it never holds a secret. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Text of others for a terminal: no control characters, which could move the cursor or rewrite what is shown. */
export function plain(text: string, maxLength = 200): string {
  const line = text.replace(/\p{C}/gu, '');
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line;
}
