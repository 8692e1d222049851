import type { Me } from '../../shared/account-api.ts';
import { signInForm } from '../access/sign-in.ts';
import { h } from '../look/element.ts';
import type { Visit } from './visit.ts';

const REASONS = {
  dashboard: 'Hosts, keys, invitations and everything else of this edge are its owner’s to see.',
  enter: 'The web UI that you want to open is for those whom this edge lets in. Sign in, and it goes on from there.',
  approve: 'An agent waits for your approval. Sign in, and it goes on from there.',
};

/** For the owner, who then is back where they wanted to be. */
export function signIn(visit: Visit, me: Me, wanted: keyof typeof REASONS): void {
  const form = signInForm({ api: visit.api, passkeys: me.passkeys, signedIn: () => void visit.begin() });
  visit.show(
    'Sign in',
    h(
      'section',
      { class: 'single' },
      h(
        'div',
        { class: 'card-panel stack', 'data-testid': 'sign-in' },
        h('h1', {}, 'Sign in as the owner'),
        h('p', { class: 'quiet-text' }, REASONS[wanted]),
        me.kind === 'guest' &&
          h('p', { class: 'warning' }, 'You are here as a guest. ', h('a', { href: '/' }, 'Open the chat')),
        form,
      ),
    ),
  );
  form.querySelector<HTMLElement>('button.button:not(.quiet), input')?.focus();
}
