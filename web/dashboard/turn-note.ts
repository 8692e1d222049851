/** What the owner should know of TURN: that there is none, or that a provider fails. */
import type { IceStatus, TurnProviderStatus } from '../../shared/account-api.ts';
import { h } from '../look/element.ts';
import { clockTime } from '../look/format.ts';
import type { Visit } from './visit.ts';

const NAMES: Readonly<Record<TurnProviderStatus['source'], string>> = {
  cloudflare: 'Cloudflare’s TURN service',
  metered: 'Metered’s TURN service',
  coturn: 'Your TURN server',
};
/** A part of a view that comes from the edge and may have nothing to say. */
export interface Note {
  readonly element: HTMLElement;
  refresh(): Promise<void>;
}

/** Whoever has an account for this edge has one for TURN as well. */
const CLOUDFLARE_TURN = 'https://developers.cloudflare.com/realtime/turn/';

/** Empty, and not to be seen, where all is well. */
export function turnNote(visit: Visit): Note {
  const element = h('div', { class: 'stack', hidden: true, 'data-testid': 'turn-note' });
  return { element, refresh };

  async function refresh(): Promise<void> {
    let status: IceStatus;
    try {
      status = await visit.api.ice();
    } catch {
      // The page works without it, and its other parts say why it does not.
      return;
    }
    // Nobody asks a provider where ICE_SERVERS names the servers.
    const used = status.source === 'configuration' ? [] : status.providers;
    const failing = used.filter((provider) => provider.failing);
    const content = [
      ...failing.map((provider) => failure(provider, status, visit.now())),
      ...(status.turn || failing.length > 0 ? [] : [withoutTurn(status)]),
    ];
    element.replaceChildren(...content);
    element.hidden = content.length === 0;
  }
}

function failure({ source, reason, failed_at }: TurnProviderStatus, status: IceStatus, now: number): HTMLElement {
  const since = failed_at === null ? '' : ` Last tried ${clockTime(failed_at, now)}.`;
  return h(
    'div',
    { class: 'notice', role: 'status' },
    h('strong', { class: 'notice-title' }, `${NAMES[source]} fails: ${reason ?? 'not known why'}`),
    h('span', { class: 'notice-hint' }, `${inItsPlace(status)}${since}`),
  );
}

function inItsPlace({ source }: IceStatus): string {
  const serving = source === 'configuration' || source === 'default' ? undefined : NAMES[source];
  const place =
    serving === undefined
      ? 'Until it works, some networks go through this edge’s relay.'
      : `${serving} is used in its place.`;
  return `${place} Check the key that is set here.`;
}

function withoutTurn({ source, providers }: IceStatus): HTMLElement {
  const why = source === 'configuration' ? 'ICE_SERVERS names no TURN server' : 'There is no TURN server';
  const unused = providers.length > 0 ? ', and keeps the TURN provider that is set up from being used' : '';
  return h(
    'aside',
    { class: 'tip' },
    h(
      'p',
      {},
      h('strong', {}, `${why}${unused}.`),
      ' Some networks, as in offices and on phones, will go through this edge’s relay, which is slower. Make a TURN key at Cloudflare, and set ',
      h('code', {}, 'CLOUDFLARE_TURN_KEY_ID'),
      ' and ',
      h('code', {}, 'CLOUDFLARE_TURN_KEY_TOKEN'),
      '; “TURN” in docs/edge.md has other ways.',
    ),
    h(
      'div',
      { class: 'actions' },
      h(
        'a',
        { class: 'button quiet small', href: CLOUDFLARE_TURN, target: '_blank', rel: 'noreferrer' },
        'How to set up TURN',
      ),
    ),
  );
}
