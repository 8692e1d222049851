/** Shows which way requests go. */
import type { VNode } from 'preact';
import { useEffect, useReducer, useState } from 'preact/hooks';
import type { Client } from '../client/index.ts';
import type { ForcedPath } from './page-state.ts';

type Shown = Client['path'] | 'connecting';

const TEXTS: Record<Shown, { text: string; title: string }> = {
  direct: { text: '⚡ direct', title: 'Direct: from this browser to the host, with nothing between' },
  turn: { text: '⇄ turn', title: 'Through a TURN server, encrypted between this browser and the host' },
  relay: { text: '⇅ relay', title: 'Through the edge, encrypted between this browser and the host' },
  tunnel: { text: '☁ tunnel', title: 'HTTPS through the edge, which could read along' },
  offline: { text: '○ offline', title: 'The host cannot be reached' },
  connecting: { text: 'connecting…', title: 'Looking for a way to the host' },
};

export interface ConnectionIndicatorProps {
  client: Client | undefined;
  onReconnect: (options: ForcedPath) => void;
  forced: ForcedPath;
}

export function ConnectionIndicator({ client }: ConnectionIndicatorProps): VNode {
  const [, look] = useReducer((count: number) => count + 1, 0);
  const [decided, setDecided] = useState<Client>();
  useEffect(() => {
    if (client === undefined) return;
    const ends = [client.on('path', look), client.on('state', look), client.on('rtt', look)];
    void client.ready.then(() => setDecided(client));
    return () => {
      for (const end of ends) end();
    };
  }, [client]);
  const shown: Shown = client !== undefined && decided === client ? client.path : 'connecting';
  const { text, title } = TEXTS[shown];
  return (
    <output id="path" class="path" data-testid="path" data-path={shown} aria-label="Connection" title={title}>
      <span class="pill">
        {text}
        {client?.rtt !== undefined && <span class="rtt"> {Math.max(1, Math.round(client.rtt))} ms</span>}
      </span>
    </output>
  );
}
