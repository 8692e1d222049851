/**
 * Credentials of five seconds under a stream of 25: the client has new ones in time, and moves to a path that they
 * made. coturn itself would let allocations outlive their credentials; here it does not (see `endsExpired`).
 */
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM_OPTIONS, withoutChromium } from './chromium.ts';
import { type ClientPage, connectClient, openLibraryPage, untilPath } from './client-page.ts';
import { Coturn, coturnMissing } from './nat/coturn.ts';
import { Stack } from './stack.ts';
import { beginTurn, readTurn, type TurnResult } from './token-turn.ts';

const missing = coturnMissing() || withoutChromium;
const TTL_S = 5;
const TOKENS = 500;
const TOKENS_PER_SECOND = 20;
/** Ends of credentials while the stream runs. */
const EXPIRIES = Math.floor(TOKENS / TOKENS_PER_SECOND / TTL_S) - 1;

describe.skipIf(missing)(`a server that ends allocations with their credentials (${missing || 'real'})`, () => {
  let coturn: Coturn;
  let browser: Browser;
  beforeAll(async () => {
    [coturn, browser] = await Promise.all([Coturn.start({ endsExpired: true }), chromium.launch(CHROMIUM_OPTIONS)]);
  });
  afterAll(async () => {
    await browser?.close();
    await coturn?.close();
  });

  test('breaks a connection that goes on with its first ones, and takes no expired ones', async () => {
    const page = await browser.newPage();
    const seconds = 3;
    const server = coturn.iceServer(['udp'], seconds);
    await page.evaluate(connectWithin, { ending: server, lasting: coturn.iceServer(['udp']) });
    const arrived = () => page.evaluate(() => globalThis.relayed.arrived);
    await expect.poll(arrived).toBeGreaterThan(0);
    const username = server.username ?? '';
    const [first] = coturn.allocations.filter((each) => each.username === username);
    expect(first).toBeDefined();
    await expect.poll(() => coturn.log).toMatch(new RegExp(`session ${first?.session}: closed .* Forceful shutdown`));
    const before = await arrived();
    const states = () => page.evaluate(() => globalThis.relayed.connections.map((each) => each.iceConnectionState));
    await expect.poll(states).toContain('disconnected');
    // What was on its way may still arrive.
    expect(await arrived()).toBeLessThan(before + 5);
    expect(await page.evaluate(allocate, server)).toBe(401);
    await page.close();
  });
});

declare global {
  // Set in the page by `connectWithin`.
  var relayed: { connections: RTCPeerConnection[]; arrived: number };
}

type Server = RTCIceServer;

/** Runs in a page: two connections, each to the other, both by TURN only; messages go from one to the other. */
async function connectWithin({ ending, lasting }: { ending: Server; lasting: Server }): Promise<void> {
  const [from, to] = [ending, lasting].map(
    (server) => new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' }),
  );
  if (from === undefined || to === undefined) return;
  globalThis.relayed = { connections: [from, to], arrived: 0 };
  from.onicecandidate = ({ candidate }) => void to.addIceCandidate(candidate ?? undefined);
  to.onicecandidate = ({ candidate }) => void from.addIceCandidate(candidate ?? undefined);
  to.ondatachannel = ({ channel }) => {
    channel.onmessage = () => {
      globalThis.relayed.arrived += 1;
    };
  };
  const channel = from.createDataChannel('numbers');
  setInterval(() => channel.readyState === 'open' && channel.send('x'), 50);
  await from.setLocalDescription();
  await to.setRemoteDescription(from.localDescription as RTCSessionDescription);
  await to.setLocalDescription();
  await from.setRemoteDescription(to.localDescription as RTCSessionDescription);
}

/** Runs in a page: the error with which the server refuses an allocation; undefined if it does not. */
async function allocate(server: Server): Promise<number | undefined> {
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
  connection.createDataChannel('none');
  const refused = new Promise<number | undefined>((resolve) => {
    connection.onicecandidateerror = ({ errorCode }) => resolve(errorCode);
    connection.onicecandidate = ({ candidate }) => resolve(candidate === null ? 0 : undefined);
  });
  await connection.setLocalDescription();
  const code = await refused;
  connection.close();
  return code;
}

/** Whose candidates are those of the TURN server only. */
const CASES = [
  { name: 'the browser', query: '&webrtc_turn=1', flags: {} },
  { name: 'the agent', query: '', flags: { relayOnly: true } },
] as const;
type Name = (typeof CASES)[number]['name'];

interface Outcome {
  result: TurnResult;
  /** SHA-256 of what the host sent, for each time that it was asked. */
  sent: (string | undefined)[];
  /** Each path that the client went to while the stream ran. */
  paths: string[];
  endsOn: string;
  /** The names of all credentials with which an allocation was made. */
  usernames: string[];
}

describe.skipIf(missing)(`credentials of ${TTL_S} s (${missing || 'real'})`, () => {
  const outcomes = new Map<Name, Outcome>();
  let browser: Browser;
  const closing: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    browser = await chromium.launch(CHROMIUM_OPTIONS);
    await Promise.all(
      CASES.map(async ({ name, query, flags }) => {
        const coturn = await Coturn.start({ endsExpired: true });
        closing.push(() => coturn.close());
        const variables = {
          ICE_SERVERS: '',
          TURN_URLS: coturn.url('udp'),
          TURN_SECRET: coturn.secret,
          TURN_TTL: String(TTL_S),
        };
        const stack = await Stack.start({ flags, variables });
        closing.unshift(() => stack.close());
        const opened = await openLibraryPage(browser, stack, `?webrtc_diag=1${query}`);
        try {
          outcomes.set(name, await stream(opened, stack, coturn));
        } catch (error) {
          console.log(`${name}:\n${opened.console.join('\n')}\n${coturn.log}`);
          throw error;
        }
      }),
    );
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    for (const close of closing) await close();
  });

  const outcomeOf = (name: Name): Outcome => {
    const outcome = outcomes.get(name);
    if (outcome === undefined) throw new Error('the stream did not run');
    return outcome;
  };

  test.each(CASES)('end under a stream, and not a token of it is lost or comes twice: $name relays', ({ name }) => {
    const { result, sent } = outcomeOf(name);
    expect(result.error).toBeUndefined();
    expect(sent).toEqual([result.sha256]);
  });

  test.each(CASES)('are replaced by new ones each time, before the path is lost: $name relays', ({ name }) => {
    const { result, paths, endsOn, usernames } = outcomeOf(name);
    const ends = [...new Set(usernames.map((username) => Number(username.split(':')[0])))];
    console.log(
      `${name} relays: ${ends.length} credentials, longest pause ${Math.round(result.longestPauseMs)} ms, paths ${paths}`,
    );
    expect(ends.length).toBeGreaterThan(EXPIRIES);
    expect(Math.max(...ends) - Math.min(...ends)).toBeGreaterThanOrEqual(EXPIRIES * TTL_S);
    expect(endsOn).toBe('turn');
    // A busy machine may be late once; who waits for the end of each path is late each time.
    expect(paths.filter((path) => path !== 'turn').length).toBeLessThan(EXPIRIES / 2);
  });
});

async function stream({ page }: ClientPage, stack: Stack, coturn: Coturn): Promise<Outcome> {
  await connectClient(page);
  await untilPath(page, 'turn');
  const paths = await watchPaths(page);
  const turn = await beginTurn(page, { tokens: TOKENS, perSecond: TOKENS_PER_SECOND });
  const result = await readTurn(page, turn);
  const outcome = {
    result,
    sent: stack.fake.requests.filter(({ url }) => url.includes(turn)).map(({ sentSha256 }) => sentSha256),
    paths: await paths(),
    endsOn: await page.evaluate(() => globalThis.client.path),
    usernames: coturn.allocations.map(({ username }) => username),
  };
  await page.context().close();
  return outcome;
}

async function watchPaths(page: Page): Promise<() => Promise<string[]>> {
  const seen = await page.evaluateHandle(() => {
    const paths: string[] = [];
    globalThis.client.on('path', (path) => paths.push(path));
    return paths;
  });
  return () => seen.jsonValue();
}
