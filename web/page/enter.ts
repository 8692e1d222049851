/** Gets the person in: by the token of a link, by the cookie, or by asking. */
import type { Me } from '../../shared/account-api.ts';
import { ApiError } from '../access/api-error.ts';
import type { EdgeApi } from '../access/edge-api.ts';
import { errorLine } from '../access/error-text.ts';
import type { ChatLink } from '../access/link.ts';
import { h } from '../look/element.ts';
import { laterPart } from './later-part.ts';

export interface Entered {
  me: Me;
  /** The link, with what was pasted into the form; the token has served its purpose. */
  link: ChatLink;
}

export interface EnterOptions {
  api: EdgeApi;
  link: ChatLink;
  /** Why the person is asked; shown in the form. */
  problem?: string | undefined;
  /** The edge has taken the token of the link, and does not say yet who is there. */
  signedIn?: (() => void) | undefined;
  /** Nobody is signed in. */
  anonymous?: (() => void) | undefined;
  /** Ends the asking. */
  signal: AbortSignal;
}

/** @throws ApiError or TypeError when the edge does not say who is there; MissingPartError; the signal's reason. */
export async function enter({ api, link, problem, signedIn, anonymous, signal }: EnterOptions): Promise<Entered> {
  const { token, ...rest } = link;
  let reason = problem;
  if (token !== undefined) {
    try {
      await api.signIn(token);
      signal.throwIfAborted();
      signedIn?.();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      reason = error.code === 'E_UNAUTHORIZED' ? 'The edge does not know the token of this link.' : errorLine(error);
    }
  }
  const me = await api.me();
  signal.throwIfAborted();
  if (me.kind !== 'anonymous') return { me, link: rest };
  anonymous?.();
  const pasted = await askToSignIn(api, me, reason, signal);
  return { me: await api.me(), link: { ...rest, ...pasted } };
}

/** In front of the page until somebody is signed in. */
async function askToSignIn(api: EdgeApi, me: Me, problem: string | undefined, signal: AbortSignal): Promise<ChatLink> {
  // Most visits need none.
  const { signInForm } = await laterPart(() => import('../access/sign-in.ts'));
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<ChatLink>();
  const form = signInForm({
    api,
    passkeys: me.passkeys,
    problem,
    signedIn: ({ token: _, ...link }) => {
      dialog.remove();
      resolve(link);
    },
  });
  const dialog = h(
    'dialog',
    { class: 'full-page', 'aria-labelledby': 'sign-in-title', 'data-testid': 'sign-in' },
    h(
      'div',
      { class: 'single' },
      h(
        'div',
        { class: 'card-panel stack' },
        h('h1', { id: 'sign-in-title' }, 'Sign in to your edge'),
        h('p', { class: 'quiet-text' }, 'Were you invited? Open the link of your invitation again.'),
        form,
      ),
    ),
  );
  // Nothing lies behind it that Escape could lead to.
  dialog.addEventListener('cancel', (event) => event.preventDefault());
  signal.addEventListener(
    'abort',
    () => {
      dialog.remove();
      reject(signal.reason);
    },
    { once: true },
  );
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector<HTMLElement>('button.button:not(.quiet), input')?.focus();
  return await promise;
}
