/** Shows which way requests go. */
import type { Client } from '../client/index.ts';
import { create } from '../look/element.ts';

type Shown = Client['path'] | 'connecting';

const TEXTS: Record<Shown, { text: string; title: string }> = {
  direct: { text: '⚡ direct', title: 'Direct: from this browser to the host, with nothing between' },
  turn: { text: '⇄ turn', title: 'Through a TURN server, encrypted between this browser and the host' },
  relay: { text: '⇅ relay', title: 'Through the edge, encrypted between this browser and the host' },
  tunnel: { text: '☁ tunnel', title: 'HTTPS through the edge, which could read along' },
  offline: { text: '○ offline', title: 'The host cannot be reached' },
  connecting: { text: 'connecting…', title: 'Looking for a way to the host' },
};

/** Follows `client` until the returned function is called. */
export function showPath(client: Client, output: HTMLElement): () => void {
  let decided = false;
  let stopped = false;
  const show = () => {
    if (stopped) return;
    const shown: Shown = decided ? client.path : 'connecting';
    const { text, title } = TEXTS[shown];
    const pill = create('span', 'pill', text);
    if (client.rtt !== undefined) pill.append(' ', create('span', 'rtt', `${Math.max(1, Math.round(client.rtt))} ms`));
    output.dataset.path = shown;
    output.title = title;
    output.replaceChildren(pill);
  };
  const unsubscribe = [client.on('path', show), client.on('state', show), client.on('rtt', show)];
  void client.ready.then(() => {
    decided = true;
    show();
  });
  show();
  return () => {
    stopped = true;
    for (const off of unsubscribe) off();
  };
}
