/** Lets a guest in: on a press of a button, since whatever previews links opens them, too. */
import type { Me } from '../../shared/account-api.ts';
import { ApiError } from '../access/api-error.ts';
import { errorLine } from '../access/error-text.ts';
import { chatUrl, type InvitationLink, parseInvitationLink } from '../access/link.ts';
import { h } from '../look/element.ts';
import { forgetFragment, takeFragment } from './fragment-memory.ts';
import { pin } from './pinning.ts';
import type { Visit } from './visit.ts';

export function invite(visit: Visit, me: Me): void {
  const link = parseInvitationLink(takeFragment());
  if (link === undefined) {
    damaged(visit);
    return;
  }
  const problem = h('p', { class: 'notice', role: 'alert', hidden: true, 'data-testid': 'invite-problem' });
  const button = h(
    'button',
    { class: 'button', type: 'button', 'data-testid': 'accept', click: () => void accept() },
    'Accept and open the chat',
  );
  const panel = h(
    'div',
    { class: 'card-panel stack' },
    h('h1', {}, 'You are invited'),
    h(
      'p',
      {},
      'Somebody lets you chat with a language model that runs on their own machine. There is no account to make.',
    ),
    h(
      'p',
      { class: 'quiet-text' },
      'This browser gets in by a cookie, until the invitation ends. Whoever runs that machine can see what you write.',
    ),
    me.kind === 'owner' &&
      h('p', { class: 'warning' }, 'You are signed in as the owner. If you accept, this browser becomes a guest.'),
    problem,
    button,
  );
  visit.show('Invitation', h('section', { class: 'single' }, panel));
  button.focus();

  async function accept(): Promise<void> {
    if (panel.hasAttribute('aria-busy')) return;
    panel.setAttribute('aria-busy', 'true');
    problem.hidden = true;
    try {
      await visit.api.acceptInvitation(link?.secret ?? '');
      forgetFragment();
      location.assign(await chatOf(visit, link as InvitationLink));
    } catch (error) {
      problem.textContent = words(error);
      problem.hidden = false;
    } finally {
      panel.removeAttribute('aria-busy');
    }
  }
}

/** Pins what the link said of the hosts; gives the address of the first one's chat. */
async function chatOf(visit: Visit, { keys }: InvitationLink): Promise<string> {
  for (const [host, key] of keys) await pin(visit, host, host, key);
  const [first] = keys.keys();
  return first === undefined ? '/_direct/chat' : chatUrl('', first, visit.pins.get(first));
}

function words(error: unknown): string {
  const code = error instanceof ApiError ? error.code : undefined;
  if (code === 'E_UNAUTHORIZED' || code === 'E_NOT_FOUND') {
    return 'This invitation is not valid any more. Ask for a new link.';
  }
  return errorLine(error);
}

function damaged(visit: Visit): void {
  visit.show(
    'Invitation',
    h(
      'section',
      { class: 'single' },
      h(
        'div',
        { class: 'card-panel stack' },
        h('h1', {}, 'The link is not complete'),
        h('p', {}, 'The part after “#” is missing. Open the whole link that you were sent.'),
      ),
    ),
  );
}
