/**
 * `npm run bench:cost [-- --idle-minutes 1.5]`: what Cloudflare would count for an idle day, for signaling sessions and
 * for a turn by each path, beside the free plan's limits of a day. Counted inside workerd, see cost-worker.ts.
 *
 * Each measurement has a stack of its own, and all run at the same time: no session's alarm rings in another's count,
 * and nobody waits for long.
 */
import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Browser, chromium, type Page } from 'playwright-core';
import { buildWeb } from '../scripts/web.ts';
import { HANDSHAKE_TIMEOUT_MS, SIGNALING_SESSION_TTL_MS } from '../shared/limits.ts';
import { CHROMIUM_OPTIONS } from '../test/chromium.ts';
import { openClientPage, openLibraryPage, untilPath } from '../test/client-page.ts';
import { HOST_ID, OWNER_TOKEN, type Stack } from '../test/stack.ts';
import { type Bill, bill, FREE_PLAN, fits, total } from './cost-counts.ts';
import { type Cost, CountingStack } from './cost-stack.ts';
import { machine } from './machine.ts';
import { table } from './statistics.ts';

const { values: options } = parseArgs({ options: { 'idle-minutes': { type: 'string', default: '1.5' } } });
const IDLE_MS = Number(options['idle-minutes']) * 60_000;
const DAY_MS = 24 * 60 * 60_000;
/** Under the host's limit for a minute (MAX_SESSIONS_PER_HOST_PER_MINUTE). */
const SESSIONS = 60;
/** As fast as a good home machine writes. */
const TURN = { tokens: 1000, perSecond: 50 };
/** Last acknowledgements have arrived, and objects that can hibernate are evicted: after 10 s. */
const SETTLED_MS = 12_000;
/** Likewise, and the alarms of sessions have rung. */
const ALARMS_OVER_MS = SIGNALING_SESSION_TTL_MS + HANDSHAKE_TIMEOUT_MS + SETTLED_MS;

interface Row {
  name: string;
  cost: Cost;
  /** What was measured, times this, is what `name` says. */
  factor: number;
}

/** The page's `?no_webrtc=1` keeps it off the direct path for good. */
const PAGES = { direct: '', relay: '?no_webrtc=1' };

/** A page whose client has moved to `path`; each begins on the relay. */
async function openPageOn(path: keyof typeof PAGES, counting: CountingStack, browser: Browser): Promise<Page> {
  const { page } = await openClientPage(browser, counting.stack, PAGES[path]);
  await untilPath(page, path);
  return page;
}

/** A client that has moved meanwhile says what it used instead. */
async function wentBy(page: Page, path: string): Promise<string> {
  const went = await page.evaluate(() => globalThis.client.path);
  return went === path ? path : `${path} (went by ${went})`;
}

async function idleDay(counting: CountingStack, browser: Browser, path: keyof typeof PAGES): Promise<Row> {
  const page = await openPageOn(path, counting, browser);
  // The session that opened the page belongs to the sessions.
  await wait(ALARMS_OVER_MS);
  const cost = await counting.measure(() => wait(IDLE_MS));
  return { name: `idle day: agent and a page, ${await wentBy(page, path)}`, cost, factor: DAY_MS / IDLE_MS };
}

async function sessions(counting: CountingStack, browser: Browser): Promise<{ row: Row; halves: Cost[] }> {
  const { page } = await openLibraryPage(browser, counting.stack);
  const halves: Cost[] = [];
  const cost = await counting.measure(async () => {
    for (let half = 0; half < 2; half++) halves.push(await counting.measure(() => connectAgain(page, SESSIONS / 2)));
    await wait(ALARMS_OVER_MS);
  });
  return { row: { name: '1,000 signaling sessions', cost, factor: 1000 / SESSIONS }, halves };
}

/** Each visit until it has its direct path, with the relay before it. */
function connectAgain(page: Page, times: number): Promise<void> {
  return page.evaluate(
    async ({ host, token, times }) => {
      for (let i = 0; i < times; i++) {
        const client = globalThis.library.connect({ url: location.origin, host, token });
        await new Promise<void>((resolve, reject) => {
          client.on('path', (path) => path === 'direct' && resolve());
          client.on('state', (state) => state === 'waiting' && reject(client.error));
        });
        client.close();
      }
    },
    { host: HOST_ID, token: OWNER_TOKEN, times },
  );
}

const turnName = (path: string) => `a turn of ${TURN.tokens.toLocaleString('en')} tokens, ${path}`;

async function tunnelTurn(counting: CountingStack): Promise<Row> {
  return { name: turnName('tunnel'), cost: await turn(counting, () => askTunnel(counting.stack)), factor: 1 };
}

async function pageTurn(counting: CountingStack, browser: Browser, path: keyof typeof PAGES): Promise<Row> {
  const page = await openPageOn(path, counting, browser);
  const cost = await turn(counting, () => askPage(page));
  return { name: turnName(await wentBy(page, path)), cost, factor: 1 };
}

const REQUEST = {
  method: 'POST',
  body: JSON.stringify({
    model: `tokens-${TURN.tokens}-at-${TURN.perSecond}`,
    stream: true,
    messages: [{ role: 'user', content: 'go' }],
  }),
};

/** `ask` makes the turn and gives the SHA-256 of the answer. */
async function turn(counting: CountingStack, ask: () => Promise<string>): Promise<Cost> {
  await wait(SETTLED_MS);
  return counting.measure(async () => {
    const sha256 = await ask();
    if (sha256 !== counting.stack.fake.requests.at(-1)?.sentSha256) throw new Error('the answer did not arrive whole');
    await wait(SETTLED_MS);
  });
}

async function askTunnel({ edge }: Stack): Promise<string> {
  const headers = { authorization: `Bearer ${OWNER_TOKEN}`, 'content-type': 'application/json' };
  const response = await fetch(`${edge.url}/v1/chat/completions`, { ...REQUEST, headers });
  return createHash('sha256')
    .update(await response.bytes())
    .digest('hex');
}

function askPage(page: Page): Promise<string> {
  return page.evaluate(async (request) => {
    const headers = { 'content-type': 'application/json' };
    const response = await globalThis.client.fetch('/v1/chat/completions', { ...request, headers });
    const hash = await crypto.subtle.digest('SHA-256', await response.arrayBuffer());
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }, REQUEST);
}

// ---- the report ------------------------------------------------------------------------------

const HEAD = [
  '',
  'Worker requests',
  'object requests',
  'messages in',
  'object-s billed',
  'object-s in memory',
  'GB-s',
  'rows read',
  'rows written',
  'CPU s of workerd',
  'fits into a free day',
];

const REQUEST_HEAD = ['', 'class', 'objects', 'fetches', 'RPC calls', 'alarms', 'messages in'];

const LIMITS: { [Key in keyof Bill]: string } = {
  workerRequests: 'Worker requests',
  objectRequests: 'object requests',
  gigabyteSeconds: 'GB-s',
  rowsRead: 'rows read',
  rowsWritten: 'rows written',
};

const number = (value: number) =>
  value.toLocaleString('en', { maximumFractionDigits: value >= 100 ? 0 : value >= 1 ? 1 : 3 });

function billed(bill: Bill): { [Key in keyof Bill]: string } {
  return Object.fromEntries(Object.entries(bill).map(([key, value]) => [key, number(value)])) as Record<
    keyof Bill,
    string
  >;
}

function cells({ name, cost, factor }: Row): string[] {
  const sums = total(cost.counts);
  const one = bill(cost.counts);
  const all = Object.fromEntries(Object.entries(one).map(([key, value]) => [key, value * factor])) as unknown as Bill;
  const shown = billed(all);
  const { times, limit } = fits(all);
  return [
    name,
    shown.workerRequests,
    shown.objectRequests,
    number(sums.messages * factor),
    number((sums.billedMs / 1000) * factor),
    number((sums.inMemoryMs / 1000) * factor),
    shown.gigabyteSeconds,
    shown.rowsRead,
    shown.rowsWritten,
    number(cost.cpuSeconds * factor),
    times === Number.POSITIVE_INFINITY ? 'costs nothing' : `${number(times)} × (${LIMITS[limit]})`,
  ];
}

function freePlan(): string[] {
  const { workerRequests, objectRequests, gigabyteSeconds, rowsRead, rowsWritten } = billed(FREE_PLAN);
  const row = ['free plan, a day', workerRequests, objectRequests, '', '', '', gigabyteSeconds, rowsRead, rowsWritten];
  return [...row, '', ''];
}

/** What the requests are, for who wants fewer. */
function requestRows({ name, cost, factor }: Row): string[][] {
  return Object.entries(cost.counts.classes).map(([className, counts]) => [
    name,
    className,
    ...[counts.objects, counts.fetches, counts.calls, counts.alarms, counts.messages].map((n) => number(n * factor)),
  ]);
}

await buildWeb();
const stacks: CountingStack[] = [];
let browser: Browser | undefined;
try {
  const next = async () => {
    const stack = await CountingStack.start();
    stacks.push(stack);
    return stack;
  };
  browser = await chromium.launch(CHROMIUM_OPTIONS);
  const measured = sessions(await next(), browser);
  const running = [
    idleDay(await next(), browser, 'direct'),
    idleDay(await next(), browser, 'relay'),
    measured.then(({ row }) => row),
    tunnelTurn(await next()),
    pageTurn(await next(), browser, 'relay'),
    pageTurn(await next(), browser, 'direct'),
  ];
  const rows = await Promise.all(running);
  const [first, second] = (await measured).halves.map(({ counts }) => number(bill(counts).objectRequests));
  console.log(`${machine()}\n\n${table([HEAD, freePlan(), ...rows.map(cells)])}\n`);
  console.log(`${table([REQUEST_HEAD, ...rows.flatMap(requestRows)])}\n`);
  console.log(`- Idle: ${number(IDLE_MS / 60_000)} min, scaled to a day; what happens more rarely does not show.
- Sessions: ${SESSIONS} with their alarms, scaled to 1,000. The first half made ${first} object requests, the second ${second}.
- Turns: ${TURN.perSecond} tokens a second; every byte of each answer arrived.
- Object requests: fetches, RPC calls and alarms, and incoming messages at 20 to 1. Pings that the runtime answers are free.
- Billed: seconds with an event under way or a timer waiting, at 128 MB. An idle object that can hibernate is free; in memory
  it is until 10 s after its last event.
- Code that never waits takes no time on workerd’s clock. The CPU time, of all of workerd, is more than what is missing.`);
} finally {
  await browser?.close();
  for (const stack of stacks) await stack.close();
}
