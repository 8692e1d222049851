/** What a host does just now, as its agent says when somebody looks. */
import type { Host } from '../../shared/account-api.ts';
import { type HostReport, REPORTED_PATHS, type ReportedPath } from '../../shared/host-report.ts';
import { h } from '../look/element.ts';
import { clockTime, counted } from '../look/format.ts';
import { fact } from './facts.ts';
import type { Visit } from './visit.ts';

const PATHS: Record<ReportedPath, string> = {
  direct: 'direct',
  turn: 'through TURN',
  relay: 'through the edge',
  tunnel: 'plain HTTPS',
  none: 'waiting for a path',
};

export interface Activity {
  /** For a list of class `facts`; hidden while nothing is known. */
  readonly facts: HTMLElement[];
  /** Asks again; fails silently, since nobody has asked for it. */
  refresh(host: Host): Promise<void>;
}

export function activityOf(visit: Visit): Activity {
  const lines = h('ul', { class: 'plain activity', 'data-testid': 'activity' });
  const facts = fact('Now', lines);
  const show = (report: HostReport | null) => {
    for (const element of facts) element.hidden = report === null;
    if (report === null) return;
    const items = describe(report, visit.now());
    const now = items.map((item) => item.textContent).join('\n');
    const before = [...lines.children].map((item) => item.textContent).join('\n');
    if (now !== before) lines.replaceChildren(...items);
  };
  show(null);
  let newest = 0;
  return {
    facts,
    async refresh({ id, online }) {
      const number = ++newest;
      const { report } = online ? await visit.api.report(id).catch(() => ({ report: null })) : { report: null };
      if (number === newest) show(report);
    },
  };
}

function describe(report: HostReport, now: number): HTMLElement[] {
  const { sessions, requests, tokens_per_second: rate, upstreams, version, started_at: startedAt } = report;
  const paths = REPORTED_PATHS.filter((path) => sessions[path] > 0);
  const total = paths.reduce((sum, path) => sum + sessions[path], 0);
  const [only] = paths;
  const how =
    only === undefined
      ? ''
      : paths.length === 1
        ? `, ${PATHS[only]}`
        : `: ${paths.map((path) => `${sessions[path]} ${PATHS[path]}`).join(', ')}`;
  const speed = rate > 0 ? `, ${rate < 10 ? rate.toFixed(1) : Math.round(rate)} tokens a second` : '';
  const failed = requests.failed === 0 ? '' : `, ${requests.failed} failed`;
  return [
    h('li', {}, sentence(`${counted(total, 'session')}${how}`)),
    h('li', {}, sentence(`${counted(requests.running, 'request')} running${speed}`)),
    ...upstreams.flatMap(({ name, state, waiting }) => [
      ...(state === 'up' ? [] : [h('li', { class: 'bad-text' }, `${name} does not answer`)]),
      ...(waiting === 0
        ? []
        : [h('li', {}, sentence(`${counted(waiting, 'request')} ${waiting === 1 ? 'waits' : 'wait'} for ${name}`))]),
    ]),
    h(
      'li',
      { class: 'hint' },
      `${requests.finished} answered${failed} since ${clockTime(startedAt, now)}, by agent ${version}`,
    ),
  ];
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
