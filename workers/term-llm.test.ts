/**
 * The calls of an unmodified term-llm, field by field: its browser (internal/serveui/static/app-webrtc.js) and its
 * home agent (internal/webrtc/peer.go), which know nothing of this project.
 */
import { describe, expect, it } from 'vitest';
import { AGENT, ANSWER_SDP, base, type Call, call, newHost, SDP } from './test-edge.ts';

const ORIGIN = { Origin: 'https://chat.example.org' };
const JSON_TYPE = { 'Content-Type': 'application/json' };

function world() {
  const host = newHost();
  const open = { OPEN_HOSTS: `other, ${host}` };
  const at = (path: string, options: Call) => call(`${base(host)}${path}`, { ...options, env: open });
  return {
    browser: {
      session: () => at('/session', { method: 'POST', headers: { ...JSON_TYPE, ...ORIGIN } }),
      offer: (session_id: string) =>
        at('/signal', {
          method: 'POST',
          headers: { ...JSON_TYPE, ...ORIGIN },
          body: JSON.stringify({ session_id, type: 'offer', sdp: SDP }),
        }),
      poll: (session_id: string) => at(`/signal?session_id=${encodeURIComponent(session_id)}`, { headers: ORIGIN }),
      preflight: (path: string, method: string) =>
        at(path, {
          method: 'OPTIONS',
          headers: {
            ...ORIGIN,
            'Access-Control-Request-Method': method,
            'Access-Control-Request-Headers': 'content-type',
          },
        }),
    },
    home: {
      poll: () => at('/signal', { headers: { Authorization: `Bearer ${AGENT}` } }),
      answer: (session_id: string) =>
        at('/signal', {
          method: 'POST',
          headers: { ...JSON_TYPE, Authorization: `Bearer ${AGENT}` },
          body: JSON.stringify({ session_id, type: 'answer', sdp: ANSWER_SDP }),
        }),
    },
  };
}

/** Go decodes into {SessionID, Type, SDP} from at most 64 kB. */
async function goSignal(response: Response) {
  const text = await response.text();
  expect(new TextEncoder().encode(text).byteLength).toBeLessThan(64 * 1024);
  return JSON.parse(text) as { session_id: string; type: string; sdp: string };
}

describe('term-llm', () => {
  it('connects from the session to the answer', async () => {
    const { browser, home } = world();
    expect((await browser.preflight('/session', 'POST')).status).toBe(204);

    const created = await browser.session();
    expect(created.ok).toBe(true);
    const session = await created.json<Record<string, unknown>>();
    for (const field of ['session_id', 'stun_url', 'turn_url', 'turn_username', 'turn_credential']) {
      expect(session[field]).toBeTypeOf('string');
    }
    expect(session).toMatchObject({ stun_url: 'stun:stun.example.com:3478', turn_url: '' });
    const id = String(session.session_id);

    // Home polls every 2 s, and finds nothing before the browser has gathered its candidates.
    const early = await home.poll();
    expect([early.status, await early.text()]).toEqual([204, '']);

    expect((await browser.offer(id)).ok).toBe(true);
    expect((await browser.poll(id)).status).toBe(204);

    const polled = await home.poll();
    expect(polled.status).toBe(200);
    expect(await goSignal(polled)).toMatchObject({ session_id: id, type: 'offer', sdp: SDP });
    expect((await home.poll()).status).toBe(204);

    const pending = browser.poll(id);
    const answered = await home.answer(id);
    expect(Math.floor(answered.status / 100)).toBe(2);
    const last = await pending;
    expect(last.status).toBe(200);
    expect(await last.json()).toEqual({ session_id: id, type: 'answer', sdp: ANSWER_SDP });
    for (const response of [created, last]) expect(response.headers.get('Access-Control-Allow-Origin')).toBe('*');
  });

  it('gets an offer while its poll waits, without delay', async () => {
    const { browser, home } = world();
    const { session_id } = await (await browser.session()).json<{ session_id: string }>();
    const pending = home.poll();
    await browser.offer(session_id);
    expect(await goSignal(await pending)).toMatchObject({ session_id, type: 'offer' });
  });

  it('serves several browsers, one offer per poll, in order', async () => {
    const { browser, home } = world();
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) {
      const { session_id } = await (await browser.session()).json<{ session_id: string }>();
      await browser.offer(session_id);
      ids.push(session_id);
    }
    const got: string[] = [];
    for (let n = 0; n < 3; n++) got.push((await goSignal(await home.poll())).session_id);
    expect(got).toEqual(ids);
  });

  it('tells a browser whose session is gone to begin again: anything but 200, 204 and 408', async () => {
    const { browser } = world();
    const response = await browser.poll('gone');
    expect(response.ok).toBe(false);
    expect(response.status).not.toBe(408);
  });
});
