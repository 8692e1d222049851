/** The owner's way in: a passkey, or the token. */

import { h } from '../look/element.ts';
import { countdown } from '../look/format.ts';
import { ApiError } from './api-error.ts';
import type { EdgeApi } from './edge-api.ts';
import { errorText } from './error-text.ts';
import { type ChatLink, parseTokenInput } from './link.ts';
import { passkeysWork, signInByPasskey } from './passkeys.ts';

export interface SignInOptions {
  api: EdgeApi;
  /** Whether any passkey is registered. */
  passkeys: boolean;
  /** Shown above the fields. */
  problem?: string | undefined;
  /** With what a pasted link said besides the token. */
  signedIn(link: ChatLink, by: 'token' | 'passkey'): void;
}

/** A form without a frame; it stays usable after every error. */
export function signInForm({ api, passkeys, problem, signedIn }: SignInOptions): HTMLFormElement {
  const error = h('p', {
    class: 'notice',
    role: 'alert',
    'data-testid': 'sign-in-error',
    hidden: problem === undefined,
  });
  error.textContent = problem ?? '';
  const token = h('input', {
    class: 'field',
    'data-testid': 'access-token',
    type: 'password',
    name: 'token',
    required: true,
    autocomplete: 'current-password',
    spellcheck: 'false',
  });
  const submit = h('button', { class: 'button', type: 'submit', 'data-testid': 'access-connect' }, 'Sign in');
  const usesPasskey = passkeys && passkeysWork();
  const passkey = h(
    'button',
    { class: 'button', type: 'button', 'data-testid': 'use-passkey', click: () => void attempt(byPasskey) },
    'Use a passkey',
  );
  if (usesPasskey) submit.classList.add('quiet');
  const form = h(
    'form',
    { class: 'stack sign-in', submit: submitted },
    error,
    ...(usesPasskey ? [passkey, h('p', { class: 'or', 'aria-hidden': 'true' }, 'or')] : []),
    h(
      'label',
      {},
      'Owner token',
      token,
      h('span', { class: 'hint' }, 'The OWNER_TOKEN that you set on this edge, or the link that npm start prints.'),
    ),
    submit,
  );
  let locked: ReturnType<typeof setInterval> | undefined;

  function submitted(event: Event): void {
    event.preventDefault();
    void attempt(byToken);
  }

  async function byToken(): Promise<void> {
    const link = parseTokenInput(token.value);
    await api.signIn(link.token ?? '');
    token.value = '';
    signedIn(link, 'token');
  }

  async function byPasskey(): Promise<void> {
    await signInByPasskey(api);
    signedIn({}, 'passkey');
  }

  async function attempt(way: () => Promise<void>): Promise<void> {
    if (form.hasAttribute('aria-busy') || (locked !== undefined && way === byToken)) return;
    form.setAttribute('aria-busy', 'true');
    error.hidden = true;
    try {
      await way();
    } catch (thrown) {
      fail(thrown);
    } finally {
      form.removeAttribute('aria-busy');
    }
  }

  function fail(thrown: unknown): void {
    error.hidden = false;
    if (thrown instanceof ApiError && thrown.retryAfter !== undefined) {
      lock(thrown.retryAfter);
      return;
    }
    const wrong = thrown instanceof ApiError && thrown.code === 'E_UNAUTHORIZED';
    const { message, hint } = errorText(thrown);
    error.textContent = wrong ? 'The edge does not know this token or passkey.' : `${message} ${hint ?? ''}`;
    token.select();
  }

  /** The edge counts wrong tokens; asking again before the time only prolongs it. */
  function lock(seconds: number): void {
    const until = performance.now() + seconds * 1_000;
    // A screen reader would read every second.
    error.setAttribute('role', 'status');
    error.setAttribute('aria-live', 'off');
    const show = () => {
      const left = (until - performance.now()) / 1_000;
      submit.disabled = left > 0;
      if (left > 0 && form.isConnected) {
        error.textContent = `Too many wrong tries. Try again in ${countdown(left)}.`;
        return;
      }
      clearInterval(locked);
      locked = undefined;
      error.hidden = true;
      error.setAttribute('role', 'alert');
      error.removeAttribute('aria-live');
    };
    locked = setInterval(show, 1_000);
    show();
  }

  return form;
}
