/** One line above the composer: what is in the way, and what a person may do about it. */
import type { VNode } from 'preact';
import type { Status } from './page-state.ts';

export function StatusLine({ status: { text, action } }: { status: Status }): VNode {
  return (
    <p id="status" class="status" role="status">
      {text}
      {action !== undefined && (
        <button type="button" class="button quiet small" onClick={action.run}>
          {action.label}
        </button>
      )}
    </p>
  );
}
