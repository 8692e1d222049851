/** The errors of docs/troubleshooting.md, of the one table of errors. */
import { HINTS } from '../shared/error-hints.ts';
import { ERRORS, type ErrorCode } from '../shared/errors.ts';
import { CAUSES } from './error-causes.ts';

export function errorsReference(): string {
  const codes = (Object.keys(ERRORS) as ErrorCode[]).toSorted();
  return codes.map(entry).join('\n\n');
}

function entry(code: ErrorCode): string {
  const { http, close, retry, message } = ERRORS[code];
  const again = retry ? 'trying again later may help' : 'trying again does not help by itself';
  return `### ${code}

**${message}** HTTP ${http}, WebSocket ${close}; ${again}.

- Why: ${CAUSES[code]}
- What to do: ${sentence(HINTS[code])}`;
}

/** Commands at the end of a hint have no full stop, so that they can be copied. */
function sentence(hint: string): string {
  return hint.replace(/: ((?:direct-agent|openssl) [^,;]+)$/, ': `$1`');
}
