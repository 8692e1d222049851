/** Lets an agent in (RFC 8628): what asks, with which key, and what it would serve. */
import type { ApprovedHost, Login, ServedUpstream } from '../../shared/account-api.ts';
import { ApiError } from '../access/api-error.ts';
import { errorLine } from '../access/error-text.ts';
import { fingerprintElement } from '../access/fingerprint-element.ts';
import { chatUrl, normalCode, parseApprovalLink } from '../access/link.ts';
import { h } from '../look/element.ts';
import { timeElement } from '../look/format.ts';
import { fact } from './facts.ts';
import { forgetFragment, takeFragment } from './fragment-memory.ts';
import { modelList } from './hosts.ts';
import { pin } from './pinning.ts';
import type { Visit } from './visit.ts';

export function approve(visit: Visit): void {
  const { code, key } = parseApprovalLink(takeFragment());
  if (code === undefined) askForCode(visit);
  else void lookUp(visit, code, key);
}

function frame(title: string, ...content: (Node | undefined | false)[]): HTMLElement {
  const shown = content.filter((child) => child instanceof Node);
  return h('section', { class: 'single' }, h('div', { class: 'card-panel stack' }, h('h1', {}, title), ...shown));
}

function askForCode(visit: Visit, problem?: string): void {
  const input = h('input', {
    class: 'field code',
    required: true,
    maxlength: 12,
    autocomplete: 'off',
    autocapitalize: 'characters',
    spellcheck: 'false',
    placeholder: 'WDJB-MJHT',
    'data-testid': 'user-code',
  });
  const form = h(
    'form',
    {
      class: 'stack',
      submit: (event) => {
        event.preventDefault();
        void lookUp(visit, normalCode(input.value), undefined);
      },
    },
    problem !== undefined && h('p', { class: 'notice', role: 'alert', 'data-testid': 'approve-problem' }, problem),
    h('label', {}, 'Code', input, h('span', { class: 'hint' }, 'The terminal shows it after “direct-agent login”.')),
    h('button', { class: 'button', type: 'submit' }, 'Continue'),
  );
  visit.show('Approve an agent', frame('Which agent do you want to let in?', form));
  input.focus();
}

async function lookUp(visit: Visit, code: string, key: string | undefined): Promise<void> {
  visit.show('Approve an agent', frame('Looking it up…', h('p', { class: 'quiet-text', role: 'status' }, code)));
  try {
    const login = await visit.api.lookUpLogin(code);
    if (login.expires_at <= visit.now()) return expired(visit);
    // The link came from the terminal, the rest from the edge: they have to agree.
    if (key !== undefined && key !== login.host_key) return stop(visit, login, key);
    decide(visit, login, key);
  } catch (error) {
    if (error instanceof ApiError && error.code === 'E_UNAUTHORIZED') return visit.signedOut();
    forgetFragment();
    const unknown = error instanceof ApiError && error.code === 'E_NOT_FOUND';
    askForCode(
      visit,
      unknown ? 'No agent waits with this code. It may have expired, or have been used.' : errorLine(error),
    );
  }
}

function decide(visit: Visit, login: Login, key: string | undefined): void {
  const { host_key, known_host, serves } = login;
  const now = visit.now();
  const name = h('input', {
    class: 'field',
    required: true,
    maxlength: 64,
    autocomplete: 'off',
    value: known_host?.name ?? login.host_name,
    'data-testid': 'host-name',
  });
  const compared = h('input', { type: 'checkbox', required: true, 'data-testid': 'compared' });
  const problem = h('p', { class: 'notice', role: 'alert', hidden: true });
  const form = h(
    'form',
    { class: 'stack', submit: submitted },
    h(
      'p',
      { class: 'quiet-text' },
      known_host === null
        ? 'It will serve its models to you, and to whom you give access.'
        : `This edge knows it as “${known_host.name}”: it has the same key. It takes the place of the agent that served it so far.`,
    ),
    h(
      'div',
      { class: 'identity-panel' },
      h('span', { class: 'label' }, known_host === null ? 'Fingerprint of a new host' : 'Fingerprint of a known host'),
      fingerprintElement(host_key, { large: true }),
      key === undefined
        ? undefined
        : h('span', { class: 'hint good-text' }, '✓ The same as in the link from the terminal'),
    ),
    key === undefined &&
      h(
        'label',
        { class: 'check warning' },
        compared,
        h(
          'span',
          {},
          'The terminal shows the same fingerprint. You typed the code, so nothing else proves which machine this is.',
        ),
      ),
    h('label', {}, 'Name', name),
    h(
      'dl',
      { class: 'facts' },
      ...fact('Code', h('code', {}, login.user_code)),
      ...fact('Will serve', served(serves)),
      ...fact('Asked from', login.address ?? 'an unknown address'),
      ...fact('Asked', timeElement(login.created_at, now)),
    ),
    problem,
    h(
      'div',
      { class: 'actions' },
      h(
        'button',
        { class: 'button quiet', type: 'button', 'data-testid': 'deny', click: () => void act(deny) },
        'Deny',
      ),
      h('button', { class: 'button', type: 'submit', 'data-testid': 'approve' }, 'Approve'),
    ),
  );
  const timer = setTimeout(() => form.isConnected && expired(visit), Math.min(login.expires_at - now, 2 ** 31 - 1));
  visit.show('Approve an agent', frame(`Let “${login.host_name}” in?`, form));

  function submitted(event: Event): void {
    event.preventDefault();
    void act(accept);
  }

  async function act(what: () => Promise<void>): Promise<void> {
    if (form.hasAttribute('aria-busy')) return;
    form.setAttribute('aria-busy', 'true');
    problem.hidden = true;
    try {
      await what();
      clearTimeout(timer);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'E_NOT_FOUND') return expired(visit);
      if (error instanceof ApiError && error.code === 'E_UNAUTHORIZED') return visit.signedOut();
      problem.textContent = errorLine(error);
      problem.hidden = false;
    } finally {
      form.removeAttribute('aria-busy');
    }
  }

  async function accept(): Promise<void> {
    const approved = await visit.api.approveLogin(login.user_code, name.value.trim());
    forgetFragment();
    // Either the link or the person's own eyes vouched for it.
    accepted(visit, approved, await pin(visit, approved.host_id, approved.host_name, host_key));
  }

  async function deny(): Promise<void> {
    await visit.api.denyLogin(login.user_code);
    forgetFragment();
    visit.show(
      'Denied',
      frame('Denied', h('p', {}, `“${login.host_name}” was not let in. Its terminal says so.`), home()),
    );
  }
}

function accepted(visit: Visit, { host_id, host_name }: ApprovedHost, pinned: boolean): void {
  const chat = chatUrl('', host_id, visit.pins.get(host_id));
  const open = h('a', { class: 'button', href: chat, 'data-testid': 'open-chat' }, 'Open chat');
  visit.show(
    'Approved',
    frame(
      `“${host_name}” is yours to use`,
      h(
        'p',
        { role: 'status' },
        'Its agent connects by itself in a few seconds; the terminal can be left alone.',
        pinned && ' This browser knows its key from now on.',
      ),
      h('div', { class: 'actions' }, h('a', { class: 'button quiet', href: '/_direct/' }, 'Dashboard'), open),
    ),
  );
  open.focus();
}

/** The edge, or whoever sits there, shows another key than the terminal. */
function stop(visit: Visit, login: Login, key: string): void {
  forgetFragment();
  const panel = frame(
    'Stop: this is not the machine that the link came from',
    h(
      'p',
      {},
      'The link from the terminal names one key, and the edge shows another for this code. Do not approve it: somebody may be between you and your machine.',
    ),
    h('p', { class: 'label' }, 'In the link from the terminal'),
    fingerprintElement(key, { testid: 'link-fingerprint' }),
    h('p', { class: 'label' }, 'Shown by the edge'),
    fingerprintElement(login.host_key, { testid: 'edge-fingerprint' }),
    h(
      'p',
      { class: 'quiet-text' },
      'If you made the link yourself, run ',
      h('code', {}, 'direct-agent login'),
      ' again and open the new link. If it came from somebody else, ignore it.',
    ),
    home(),
  );
  panel.firstElementChild?.classList.add('stop');
  panel.setAttribute('role', 'alert');
  panel.dataset.testid = 'key-mismatch';
  visit.show('Stop', panel);
}

function expired(visit: Visit): void {
  forgetFragment();
  visit.show(
    'Expired',
    frame(
      'The code has expired',
      h(
        'p',
        {},
        'Codes are good for ten minutes. Run ',
        h('code', {}, 'direct-agent login'),
        ' again on the machine, and open its new link.',
      ),
      home(),
    ),
  );
}

function home(): HTMLElement {
  return h('div', { class: 'actions' }, h('a', { class: 'button quiet', href: '/_direct/' }, 'Dashboard'));
}

function served(serves: ServedUpstream[]): HTMLElement {
  if (serves.length === 0) return h('span', {}, 'nothing yet: no LLM server was found on it');
  return h('ul', { class: 'plain' }, ...serves.map(({ name, models }) => h('li', {}, name, modelList(models))));
}
