/** Through a real TURN server, by each transport, from either side and from both. */
import { readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IS_NATIVE } from '../agent/test-network.ts';
import { CHROMIUM_OPTIONS, withoutChromium } from './chromium.ts';
import { connectClient, openLibraryPage, untilPath } from './client-page.ts';
import { Coturn, coturnMissing, type TurnTransport } from './nat/coturn.ts';
import { Stack } from './stack.ts';
import { beginTurn, readTurn } from './token-turn.ts';
import { localCandidates, recordPeers, remoteCandidates, type UsedPair, usedPair } from './turn-peers.ts';

const missing = coturnMissing() || withoutChromium;
const TRANSPORTS: readonly TurnTransport[] = ['udp', 'tcp', 'tls'];
const TOKENS = 200;

/** Whose candidates are those of the TURN server only. */
const SIDES = [
  { name: 'the browser', browser: true, agent: false },
  { name: 'the agent', browser: false, agent: true },
  { name: 'both', browser: true, agent: true },
] as const;

describe.skipIf(missing).each(TRANSPORTS)(`TURN over %s (${missing || 'real'})`, (transport) => {
  let coturn: Coturn;
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    coturn = await Coturn.start({ transport });
    // The agent runs in this process, and believes what Node believes.
    setDefaultCACertificates([...getCACertificates('default'), readFileSync(coturn.certificateFile, 'utf8')]);
    const args = [...(CHROMIUM_OPTIONS.args ?? []), coturn.chromiumTrust];
    [stack, browser] = await Promise.all([
      Stack.start({ variables: { ICE_SERVERS: JSON.stringify([coturn.iceServer([transport])]) } }),
      chromium.launch({ ...CHROMIUM_OPTIONS, args }),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await Promise.all([stack?.close(), coturn?.close()]);
  });

  test.for(SIDES)('$name with relay candidates only', async (only, { skip }) => {
    const isRefused = IS_NATIVE && !only.agent && transport !== 'udp';
    skip(isRefused, 'over TCP and TLS Chromium’s checks have 0 for a tiebreaker, which libjuice refuses');
    await stack.stopAgent();
    await stack.startAgent(only.agent ? { relayOnly: true } : {});
    const query = `?webrtc_diag=1${only.browser ? '&webrtc_turn=1' : ''}`;
    const { page, console: lines } = await openLibraryPage(browser, stack, query);
    await recordPeers(page);
    await connectClient(page);
    try {
      await untilPath(page, 'turn');
    } catch (error) {
      console.log(lines.join('\n'));
      console.log(coturn.log);
      throw error;
    }
    if (only.browser) {
      const { local } = await usedPair(page);
      expect(local).toMatchObject({ type: 'relay', relayProtocol: transport });
      expect(isAllocated(coturn, local)).toBe(true);
      expect(typesOf(await localCandidates(page))).toEqual(['relay']);
    }
    if (only.agent) {
      // The agent's first check may be here before its candidate: a peer-reflexive one, until signaling names it.
      await expect.poll(async () => (await usedPair(page)).remote.type).toBe('relay');
      expect(isAllocated(coturn, (await usedPair(page)).remote)).toBe(true);
      expect(typesOf(await remoteCandidates(page))).toEqual(['relay']);
    }
    const turn = await beginTurn(page, { tokens: TOKENS, perSecond: 100 });
    const result = await readTurn(page, turn);
    expect(result.error).toBeUndefined();
    const requests = stack.fake.requests.filter(({ url }) => url.includes(turn));
    expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([result.sha256]);
    expect(await page.evaluate(() => globalThis.client.path)).toBe('turn');
    // The agent knows it as well, whoever's relay it is.
    const paths = () => stack.agent?.report().sessions.flatMap(({ path }) => (path === 'tunnel' ? [] : [path]));
    await expect.poll(paths, { timeout: 40_000 }).toEqual(['turn']);
    await page.context().close();
  });
});

/** Whether it is an address that the server gave. It listens by one transport only, so that is how. */
function isAllocated({ log }: Coturn, { address, port }: UsedPair['local']): boolean {
  return log.includes(`Local relay addr: ${address}:${port}\n`);
}

/** Each once. */
function typesOf(candidates: readonly { type: string }[]): string[] {
  return [...new Set(candidates.map(({ type }) => type))];
}
