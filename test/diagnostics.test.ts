import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { openClientPage, untilPath } from './client-page.ts';
import { OWNER_TOKEN, Stack } from './stack.ts';

describe.skipIf(withoutChromium)('diagnostics', () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  test('?webrtc_diag=1 shows the whole life, with times and without secrets', async () => {
    const { page, console } = await openClientPage(browser, stack, '?webrtc_diag=1');
    await untilPath(page, 'direct');
    await page.evaluate(async () => {
      const body = JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'my secret prompt' }] });
      const headers = { authorization: 'Bearer upstream-secret' };
      await (await globalThis.client.fetch('/v1/chat/completions?key=abc', { method: 'POST', headers, body })).text();
    });
    const lines = console.filter((line) => line.startsWith('[webrtc]'));
    for (const line of lines) expect(line).toMatch(/^\[webrtc\] \+\d+ms /);
    const text = lines.join('\n');
    for (const step of [
      'session created',
      'offer sent',
      'candidate',
      'answer received',
      'ICE',
      'channel open',
      '→ POST /v1/chat/completions',
      '← 200',
    ]) {
      expect(text).toContain(step);
    }
    for (const secret of [OWNER_TOKEN, 'upstream-secret', 'my secret prompt', 'key=abc'])
      expect(text).not.toContain(secret);
    const agentLog = stack.log.join('\n');
    for (const step of [
      'ICE connection established',
      'DTLS handshake complete',
      'SCTP association established',
      'data channel open',
    ]) {
      expect(agentLog).toContain(`webrtc: ${step} for session `);
    }
    for (const secret of ['agent-token', 'upstream-secret', 'my secret prompt', 'key=abc']) {
      expect(agentLog).not.toContain(secret);
    }
    await page.context().close();
    await expect.poll(() => stack.connections).toBe(0);
    expect(stack.log.join('\n')).toMatch(/webrtc: closed: .+ for session /);
  });

  test('?webrtc_turn=1 uses relay candidates only, so that it cannot connect without a TURN server', async () => {
    const { page, console } = await openClientPage(browser, stack, '?webrtc_diag=1&webrtc_turn=1');
    await untilPath(page, 'relay');
    await expect.poll(() => console.some((line) => line.includes('local candidate: end'))).toBe(true);
    expect(await page.evaluate(() => globalThis.client.path)).toBe('relay');
    expect(console.filter((line) => /local candidate: (?!end)/.test(line))).toEqual([]);
    await page.context().close();
  });

  test('?no_webrtc never tries, and stays on the relay', async () => {
    const offers = stack.log.filter((line) => line.includes('offer received')).length;
    const { page } = await openClientPage(browser, stack, '?no_webrtc');
    await untilPath(page, 'relay');
    expect(await page.evaluate(async () => (await globalThis.client.fetch('/v1/models')).status)).toBe(200);
    expect(await page.evaluate(() => [globalThis.client.path, globalThis.client.state])).toEqual(['relay', 'off']);
    expect(stack.log.filter((line) => line.includes('offer received')).length).toBe(offers);
    await page.context().close();
  });
});
