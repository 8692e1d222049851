/** Words that come, and go by themselves. */
import type { VNode } from 'preact';
import { Store } from './store.ts';
import { useStateOf } from './use-state-of.ts';

const SHOWN_MS = 8_000;

export interface Notice {
  text: string;
  action?: { label: string; run(): void };
  /** Until it is closed. */
  stays?: boolean;
}

export class Notices {
  readonly store = new Store<{ notice: Notice | undefined }>({ notice: undefined });
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** In place of the one before. */
  show(notice: Notice): void {
    clearTimeout(this.#timer);
    this.store.set({ notice });
    if (notice.stays !== true) this.#timer = setTimeout(() => this.close(), SHOWN_MS);
  }

  readonly close = (): void => {
    clearTimeout(this.#timer);
    this.store.set({ notice: undefined });
  };
}

export function NoticeView({ notices }: { notices: Notices }): VNode {
  const { notice } = useStateOf(notices.store);
  const { text, action } = notice ?? {};
  const act = () => {
    notices.close();
    action?.run();
  };
  return (
    <div class="toasts" role="status">
      {notice !== undefined && (
        <div class="toast" data-testid="notice">
          <span>{text}</span>
          {action !== undefined && (
            <button type="button" class="toast-action" onClick={act}>
              {action.label}
            </button>
          )}
          <button type="button" class="toast-close" aria-label="Close" onClick={notices.close}>
            ×
          </button>
        </div>
      )}
    </div>
  );
}
