/** From the page's load to the open channel, step by step: what each round trip is spent on. */
import { measure, onSlowInternet, type Run } from './connect-steps.ts';
import type { Extra } from './extras.ts';
import { timeUnderWay, type WirePacket } from './packets.ts';
import { visit } from './page-load.ts';
import { median, table } from './statistics.ts';

interface Load {
  run: Run;
  startedAt: number;
  packets: WirePacket[];
}

interface Step {
  atMs: number;
  what: string;
}

const OPEN = 'channel open';

export const timeline: Extra = {
  name: 'timeline',
  title: 'From the page’s load to the open channel: client, edge and agent each a round trip apart, behind NATs',
  has: ({ link }) => link !== undefined && link.lossPercent === undefined,
  async measure({ place: { condition }, runs }) {
    const roundTripMs = condition.link?.roundTripMs ?? 0;
    const packets: WirePacket[] = [];
    const { browser, linkUrl, close } = await onSlowInternet(roundTripMs, (packet) => void packets.push(packet));
    try {
      const memory = await visit(browser, linkUrl);
      const loads: Load[] = [];
      for (let i = 0; i < runs; i++) {
        packets.length = 0;
        const { run, startedAt } = await measure(browser, new URL('/', linkUrl).href, memory);
        loads.push({ run, startedAt, packets: [...packets] });
      }
      const open = ({ run }: Load) => run.get(OPEN) ?? Number.POSITIVE_INFINITY;
      const typical = loads.sort((a, b) => open(a) - open(b))[Math.floor((loads.length - 1) / 2)];
      if (typical === undefined) throw new Error('nothing was measured');
      return {
        text: shown(typical, loads, roundTripMs),
        data: { opened: loads.map(open), steps: stepsOf(typical) },
      };
    } finally {
      await close();
    }
  },
};

/** What lies between each step and the one before it, and how many round trips that takes at least. */
const SPENT: Readonly<Record<string, [least: number, on: string]>> = {
  'HTML received': [2, 'TCP handshake 1, the document 1; its first script stands in it'],
  'script starts': [0, 'nothing: the browser parses'],
  'client begins': [0, 'the page’s script, loaded in parallel with what the head start asks for'],
  'session created': [1, 'offer to the edge ½, the edge’s word on the session ½'],
  'answer received': [1, 'offer from the edge to the agent ½ and answer back ½, besides the former'],
  'ICE connected': [1, 'the client’s check ½, its answer ½; the agent’s own has opened its NAT meanwhile'],
  'DTLS connected': [2, 'ClientHello ½, ServerHello to ServerHelloDone ½, the client’s Finished ½, the agent’s ½'],
  'channel open': [1, 'INIT comes with the agent’s Finished; INIT ACK ½, COOKIE ECHO ½'],
};

/** Medians of all loads. */
function summary(loads: readonly Load[], roundTripMs: number): string {
  let before = 0;
  const rows = Object.entries(SPENT).flatMap(([name, [least, on]]) => {
    const atMs = median(loads.flatMap(({ run }) => run.get(name) ?? []));
    if (Number.isNaN(atMs)) return [];
    const since = Math.max(0, atMs - before);
    before = Math.max(before, atMs);
    return [[name, atMs.toFixed(0), (since / roundTripMs).toFixed(1), `${least}`, on]];
  });
  const least = Object.values(SPENT).reduce((sum, [least]) => sum + least, 0);
  const total = ['all', before.toFixed(0), (before / roundTripMs).toFixed(1), `${least}`, ''];
  return table([['step', 'at ms', 'round trips since the one before', 'at least', 'spent on'], ...rows, total]);
}

/** Packets that are alike and follow each other are one step. */
function stepsOf({ run, startedAt, packets }: Load): Step[] {
  const end = (run.get(OPEN) ?? 0) + 1;
  const sent = packets
    .map(({ atMs, from, to, what }) => ({ atMs: atMs - startedAt, what: `${from} → ${to}: ${what}` }))
    .filter(({ atMs }) => atMs >= -1 && atMs <= end);
  const noted = [...run].filter(([, atMs]) => atMs <= end).map(([name, atMs]) => ({ atMs, what: `**page: ${name}**` }));
  const merged: (Step & { count: number })[] = [];
  for (const step of [...sent, ...noted].sort((a, b) => a.atMs - b.atMs)) {
    const last = merged.at(-1);
    if (last?.what === step.what) last.count++;
    else merged.push({ ...step, count: 1 });
  }
  return merged.map(({ atMs, what, count }) => ({ atMs, what: count === 1 ? what : `${what} (${count} packets)` }));
}

/** Files of the page, which come beside the connection once its first script runs. */
const BESIDE = /GET \/_direct\/(?!h\/)|client → edge: TCP SYN|edge → client: (?:TCP|HTTP 2)/;

function shown(load: Load, loads: readonly Load[], roundTripMs: number): string {
  const open = load.run.get(OPEN) ?? Number.NaN;
  const { startedAt, packets } = load;
  const underWay = timeUnderWay(packets, roundTripMs / 2, startedAt, startedAt + open);
  const script = load.run.get('script starts') ?? 0;
  const rows = stepsOf(load)
    .filter(({ atMs, what }) => atMs < script || !BESIDE.test(what))
    .map(({ atMs, what }) => [atMs.toFixed(0), (atMs / roundTripMs).toFixed(1), what]);
  const all = loads.map(({ run }) => run.get(OPEN)?.toFixed(0)).join(', ');
  return [
    summary(loads, roundTripMs),
    `Medians of ${loads.length} loads; channel open after ${all} ms. In the middle one of them, which follows, a packet was under way for ${underWay.toFixed(0)} of ${open.toFixed(0)} ms (${(underWay / roundTripMs).toFixed(1)} round trips), and for ${(open - underWay).toFixed(0)} ms programs computed or waited. DNS takes none here: the browser is told the address. A packet is shown when it leaves, and arrives half a round trip later. Files of the page are left out once its first script runs.`,
    table([['at ms', 'round trips', 'on the wire'], ...rows]),
  ].join('\n\n');
}
