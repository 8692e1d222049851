/** What a close code of the edge's WebSockets says. */
import { codeFromNumber, DirectError } from '../../shared/errors.ts';

/** Close codes of ours (shared/errors.ts) begin here; others come from networks and middleboxes. */
const FIRST_OWN_CLOSE_CODE = 4000;

/** The edge's own error, or undefined when the socket ended in another way. */
export function closeError({ code, reason }: { code: number; reason: string }): DirectError | undefined {
  if (code < FIRST_OWN_CLOSE_CODE) return undefined;
  return new DirectError(codeFromNumber(code), reason === '' ? undefined : reason);
}
