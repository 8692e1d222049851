/**
 * What it costs to be ready: a host and a page with nothing to say. workerd itself evicts the HostObject, the sockets
 * of both ends outlive it, and the next message wakes another one that goes on where it was.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Counts, NO_COUNTS } from '../bench/cost-counts.ts';
import { CountingStack } from '../bench/cost-stack.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { openLibraryPage, untilPath } from './client-page.ts';
import { type CountedSocket, type Messages, type SocketCounter, startSocketCounter } from './socket-counter.ts';
import { HOST_ID, OWNER_TOKEN } from './stack.ts';

declare global {
  // Data channels of the page's client, for a test that ends them.
  var channels: RTCDataChannel[];
  // What the direct path went through, for a test that must know whether the page was idle.
  var directStates: string[];
}

/** Last acknowledgements have arrived, and workerd has evicted what it can: after 10 s. */
const SETTLED_MS = 12_000;
const IDLE_MS = 60_000;
/** A minute that was not idle is followed by another one. */
const WATCHES = 3;
/** More than one message of the session layer. */
const TRANSFER_BYTES = 100_000;

/** Everything that one case needs, each with its own edge. */
interface Host {
  counting: CountingStack;
  /** Between agent and edge, and between page and edge. */
  uplink: SocketCounter;
  visit: SocketCounter;
  page: Page;
}

interface Wire {
  agentUp: Messages;
  agentDown: Messages;
  pageUp: Messages;
  pageDown: Messages;
}

/** What was seen in the idle time, and of the requests after it. */
interface Seen {
  /** The WebSockets of agent and page that were open before the idle time. */
  sockets: CountedSocket[];
  idle: { counts: Counts; wire: Wire };
  woken: { counts: Counts; wire: Wire; answers: { sent: number; received: number } };
}

async function openHost(browser: Browser, query: string): Promise<Host> {
  const counting = await CountingStack.start();
  const { stack } = counting;
  const [uplink, visit] = await Promise.all([startSocketCounter(stack.edge.url), startSocketCounter(stack.edge.url)]);
  await stack.stopAgent();
  await stack.startAgent({ signalingUrl: `${uplink.url}/_direct/h/${HOST_ID}` });
  const { page } = await openLibraryPage(browser, stack, query, visit.url);
  await page.evaluate(
    async ({ host, token }) => {
      globalThis.channels = [];
      class Watched extends RTCPeerConnection {
        override createDataChannel(...args: Parameters<RTCPeerConnection['createDataChannel']>): RTCDataChannel {
          const channel = super.createDataChannel(...args);
          globalThis.channels.push(channel);
          return channel;
        }
      }
      const environment = { RTCPeerConnection: Watched };
      const client = globalThis.library.connect({ url: location.origin, host, token, environment });
      globalThis.directStates = [];
      client.on('state', (state) => globalThis.directStates.push(`${state}: ${client.error?.message ?? 'no error'}`));
      // A path that is in doubt on a busy machine is left while its state stays.
      client.on('path', (path) => globalThis.directStates.push(`path: ${path}`));
      globalThis.client = client;
      await globalThis.client.ready;
    },
    { host: HOST_ID, token: OWNER_TOKEN },
  );
  return { counting, uplink, visit, page };
}

const relays = ({ visit }: Host) => visit.sockets.filter(({ path }) => path.endsWith('/relay'));
const links = ({ uplink }: Host) => uplink.sockets.filter(({ path }) => path.endsWith('/signal'));

const openSockets = (host: Host) => [...links(host), ...relays(host)].filter(({ open }) => open);

const sum = (sockets: readonly CountedSocket[], direction: 'up' | 'down'): Messages =>
  sockets.reduce(
    (all, { [direction]: { texts, binaries } }) => ({ texts: all.texts + texts, binaries: all.binaries + binaries }),
    { texts: 0, binaries: 0 },
  );

const less = (a: Messages, b: Messages): Messages => ({ texts: a.texts - b.texts, binaries: a.binaries - b.binaries });

/** Of all WebSockets that the agent and the page have had. */
function wireOf({ uplink, visit }: Host): Wire {
  return {
    agentUp: sum(uplink.sockets, 'up'),
    agentDown: sum(uplink.sockets, 'down'),
    pageUp: sum(visit.sockets, 'up'),
    pageDown: sum(visit.sockets, 'down'),
  };
}

/** What the edge and the wire saw while `run` ran. */
async function watch(host: Host, run: () => Promise<unknown>): Promise<{ counts: Counts; wire: Wire }> {
  const before = wireOf(host);
  const { counts } = await host.counting.measure(run);
  const after = wireOf(host);
  const wire = {
    agentUp: less(after.agentUp, before.agentUp),
    agentDown: less(after.agentDown, before.agentDown),
    pageUp: less(after.pageUp, before.pageUp),
    pageDown: less(after.pageDown, before.pageDown),
  };
  return { counts, wire };
}

function transfer(page: Page): Promise<Seen['woken']['answers']> {
  return page.evaluate(async (bytes) => {
    const { client } = globalThis;
    const sink = await client.fetch('/v1/test/sink', { method: 'POST', body: new Uint8Array(bytes) });
    const { bytes: sent } = (await sink.json()) as { bytes: number };
    const { byteLength: received } = await (await client.fetch(`/v1/test/bytes?n=${bytes}`)).arrayBuffer();
    return { sent, received };
  }, TRANSFER_BYTES);
}

/** Why the page was not idle since the last call, or undefined: its direct path was lost, and it looked for another. */
async function unrest(page: Page): Promise<string | undefined> {
  const seen = await page.evaluate(() => globalThis.directStates.splice(0));
  if (seen.length > 0) console.log(`not idle: ${seen.join('; ')}`);
  return seen[0];
}

async function rest(host: Host, wake: () => Promise<unknown>): Promise<Seen> {
  const { page } = host;
  await transfer(page);
  await delay(SETTLED_MS);
  await page.evaluate(() => globalThis.directStates.splice(0));
  let sockets = openSockets(host);
  let idle = await watch(host, () => delay(IDLE_MS));
  // The direct path may go by a network that another test's lab takes away: then the minute was not idle.
  for (let more = WATCHES - 1; more > 0 && (await unrest(page)) !== undefined; more--) {
    await delay(SETTLED_MS);
    sockets = openSockets(host);
    idle = await watch(host, () => delay(IDLE_MS));
  }
  let answers = { sent: 0, received: 0 };
  const woken = await watch(host, async () => {
    await wake();
    answers = await transfer(page);
  });
  return { sockets, idle, woken: { ...woken, answers } };
}

const objectsOf = ({ classes }: Counts, name: string) => classes[name] ?? NO_COUNTS;

function report(name: string, { idle: { counts, wire } }: Seen): string {
  const said = ({ texts, binaries }: Messages) => `${texts} pings or signals, ${binaries} messages of sessions`;
  const rows = Object.entries(counts.classes).map(
    ([name, { constructions, fetches, calls, alarms, messages, billedMs, inMemoryMs }]) =>
      `  ${name}: made ${constructions} times; ${fetches} fetches, ${calls} calls, ${alarms} alarms, ` +
      `${messages} messages; ${billedMs} ms billed, ${inMemoryMs} ms in memory`,
  );
  return [
    `${IDLE_MS / 1000} s idle, ${name}:`,
    `  agent to edge: ${said(wire.agentUp)}; back: ${said(wire.agentDown)}`,
    `  page to edge: ${said(wire.pageUp)}; back: ${said(wire.pageDown)}`,
    `  Worker: ${counts.workerRequests} requests`,
    ...rows,
  ].join('\n');
}

describe.skipIf(withoutChromium)(`an idle host with an idle page (${withoutChromium || 'real'})`, () => {
  let browser: Browser;
  const hosts: Host[] = [];
  const seen = new Map<string, { host: Host; all: Seen }>();

  beforeAll(async () => {
    browser = await launchChromium();
    const open = async (query: string) => {
      const host = await openHost(browser, query);
      hosts.push(host);
      return host;
    };
    const [relay, direct] = [await open('?no_webrtc=1'), await open('')];
    await untilPath(direct.page, 'direct');
    const [onRelay, onDirect] = await Promise.all([
      rest(relay, async () => {}),
      rest(direct, async () => {
        await direct.page.evaluate(() => {
          for (const channel of globalThis.channels) channel.close();
        });
        await untilPath(direct.page, 'relay');
      }),
    ]);
    seen.set('relay', { host: relay, all: onRelay }).set('direct', { host: direct, all: onDirect });
    console.log(`${report('on the relay', onRelay)}\n${report('on the direct path, the relay in reserve', onDirect)}`);
  }, 330_000);

  afterAll(async () => {
    await browser?.close();
    for (const { counting, uplink, visit } of hosts) {
      uplink.close();
      visit.close();
      await counting.close();
    }
  });

  describe.each(['relay', 'direct'])('on the %s path', (path) => {
    const of = () => {
      const found = seen.get(path);
      if (found === undefined) throw new Error('not measured');
      return found;
    };

    test('nothing reaches the object in a minute: the runtime answers the pings of both ends by itself', () => {
      const { counts, wire } = of().all.idle;
      expect(objectsOf(counts, 'HostObject')).toEqual(NO_COUNTS);
      expect(counts.workerRequests).toBe(0);
      expect([wire.agentUp.binaries, wire.pageUp.binaries]).toEqual([0, 0]);
      expect(wire.agentUp.texts).toBeGreaterThan(0);
      expect(wire.pageUp.texts).toBeGreaterThan(0);
      // The minute may begin or end between a ping and its answer.
      for (const [up, down] of [
        [wire.agentUp, wire.agentDown],
        [wire.pageUp, wire.pageDown],
      ] as const) {
        expect(down.binaries).toBe(0);
        expect(Math.abs(down.texts - up.texts)).toBeLessThanOrEqual(1);
      }
    });

    test('the object was evicted: the next message makes another one, which goes on', () => {
      const { counts, answers } = of().all.woken;
      expect(objectsOf(counts, 'HostObject')).toMatchObject({ objects: 0, constructions: 1 });
      expect(answers).toEqual({ sent: TRANSFER_BYTES, received: TRANSFER_BYTES });
    });

    test('both sockets outlive it, and carry the next requests in both directions', () => {
      const { host, all } = of();
      // One of each, and they are still those that were there before.
      expect(all.sockets.map(({ path }) => path.split('/').at(-1))).toEqual(['signal', 'relay']);
      expect(openSockets(host)).toEqual(all.sockets);
      const { wire } = all.woken;
      for (const { binaries } of [wire.agentUp, wire.agentDown, wire.pageUp, wire.pageDown]) {
        expect(binaries).toBeGreaterThan(1);
      }
    });
  });
});
