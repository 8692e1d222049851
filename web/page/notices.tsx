/** Words that come, and go by themselves. */
import type { VNode } from 'preact';
import { MissingPartError, RELOAD } from './later-part.ts';
import { Store } from './store.ts';
import { useStateOf } from './use-state-of.ts';

const SHOWN_MS = 8_000;

export interface Notice {
  text: string;
  action?: { label: string; run(): void };
  /** Until it is closed. */
  stays?: boolean;
}

/** What went wrong, in words, and what a person can do about it. */
export function noticeOf(problem: unknown): Notice {
  const text = problem instanceof Error ? problem.message : String(problem);
  return problem instanceof MissingPartError ? { text, action: RELOAD, stays: true } : { text };
}

export class Notices {
  readonly store = new Store<{ notice: Notice | undefined }>({ notice: undefined });
  /** Stays, and was not closed: it comes back after one that goes by itself. */
  #staying: Notice | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** In place of the one before. */
  show(notice: Notice): void {
    clearTimeout(this.#timer);
    this.store.set({ notice });
    if (notice.stays === true) this.#staying = notice;
    else this.#timer = setTimeout(() => this.close(), SHOWN_MS);
  }

  readonly close = (): void => {
    clearTimeout(this.#timer);
    if (this.store.state.notice === this.#staying) this.#staying = undefined;
    this.store.set({ notice: this.#staying });
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
