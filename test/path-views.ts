/** The chat on each path, and what its diagnostics say there: with a real edge, a real agent and a real TURN server. */
import type { Browser, Page } from 'playwright-core';
import { Coturn } from './nat/coturn.ts';
import { withConversations } from './page-views.ts';
import { Stack } from './stack.ts';

interface PathView {
  /** Of the page's address. */
  query?: string;
  /** No WebSocket opens, as behind some proxies. */
  blocked?: true;
  /** The agent stops when the page has connected. */
  stops?: true;
}

export const PATH_VIEWS: Record<string, PathView> = {
  direct: {},
  turn: { query: '?webrtc_turn=1' },
  relay: { query: '?no_webrtc=1' },
  tunnel: { query: '?no_webrtc=1', blocked: true },
  offline: { stops: true },
};

/** Shows the chat on `path`, then the diagnostics there, to `look`. */
export async function showPath(
  browser: Browser,
  path: string,
  options: Parameters<Browser['newContext']>[0],
  look: (page: Page, view: string) => Promise<void>,
): Promise<void> {
  const { query = '', blocked = false, stops = false } = PATH_VIEWS[path] ?? {};
  const coturn = await Coturn.start();
  const stack = await Stack.start({ variables: { ICE_SERVERS: JSON.stringify([coturn.iceServer(['udp'])]) } });
  try {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    if (blocked) await page.routeWebSocket(/./, (socket) => socket.close());
    await page.goto(stack.pageUrl.replace('/#', `/${query}#`));
    await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
    await withConversations(page);
    if (stops) await stack.stopAgent();
    await page.locator(`[data-testid=path][data-path=${path}]`).waitFor({ timeout: 30_000 });
    // A round trip is measured, and toasts are gone.
    await page.waitForTimeout(1_000);
    await look(page, `path-${path}`);
    await page.getByTestId('path').click();
    await page.getByTestId('timeline').waitFor();
    if (!stops) {
      await page.getByTestId('measure').click();
      await page.waitForTimeout(1_000);
    }
    await look(page, `path-${path}-diagnostics`);
    await context.close();
  } finally {
    await stack.close();
    await coturn.close();
  }
}
