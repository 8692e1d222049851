/** Which way requests go, as a pill in the page's header; a tap opens the diagnostics. */
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { IceStatus } from '../../shared/account-api.ts';
import type { Client } from '../client/index.ts';
import type { DiagnosticsDialog } from './diagnostics-dialog.tsx';
import { type Shown, WAYS } from './ways.ts';

/** What a person wants other than the best path, to test or to work around something; nothing by default. */
export interface Forced {
  webrtc?: false;
  iceTransportPolicy?: 'relay';
}

export interface ConnectionIndicatorProps {
  client: Client | undefined;
  /** Connect anew, with these options. */
  onReconnect: (options: Forced) => void;
  /** The options that `client` was made with. */
  forced: Forced;
  /** What the edge says of its TURN providers; it tells owners only. */
  ice?: (() => Promise<IceStatus>) | undefined;
}

/** The dialog is no part of what the page needs to start; see `useDialog`. */
const loadDialog = async () => (await import('./diagnostics-dialog.tsx')).DiagnosticsDialog;

export function ConnectionIndicator({ client, ...rest }: ConnectionIndicatorProps): VNode {
  return client === undefined ? <div class="path" /> : <Indicator client={client} {...rest} />;
}

function Indicator({ client, forced, onReconnect, ice }: ConnectionIndicatorProps & { client: Client }): VNode {
  const { shown, rtt } = useWay(client);
  const [isOpen, setOpen] = useState(false);
  const [Dialog, askForDialog] = useDialog(client);
  const close = () => setOpen(false);
  const { text, sentence } = WAYS[shown];
  return (
    <>
      <div class="path">
        <button
          id="path"
          class="path-pill"
          type="button"
          data-testid="path"
          data-path={shown}
          aria-haspopup="dialog"
          title={`${sentence} Show more.`}
          onClick={() => {
            setOpen(true);
            askForDialog();
          }}
        >
          <span>{text}</span>
          {rtt === undefined ? null : <span class="path-rtt"> {Math.max(1, Math.round(rtt))} ms</span>}
        </button>
        {/* Not the pill itself: each measurement of the round trip would be read out. */}
        <span class="visually-hidden" role="status">
          {sentence}
        </span>
      </div>
      {isOpen && Dialog === 'failed' ? (
        <div class="notice path-notice" role="alert">
          The diagnostics could not be loaded. Try again when there is a network, or reload the page.{' '}
          <button class="button quiet small" type="button" onClick={close}>
            Close
          </button>
        </div>
      ) : null}
      {isOpen && typeof Dialog === 'function' ? (
        <Dialog client={client} shown={shown} forced={forced} onReconnect={onReconnect} ice={ice} onClose={close} />
      ) : null}
    </>
  );
}

/** Which way a request would go now, and the round-trip time of that. */
function useWay(client: Client): { shown: Shown; rtt: number | undefined } {
  const [decided, setDecided] = useState<Client>();
  const [, setChange] = useState(0);
  useEffect(() => {
    let isOver = false;
    const look = () => setChange((change) => change + 1);
    const off = [client.on('path', look), client.on('state', look), client.on('rtt', look)];
    void client.ready.then(() => {
      if (!isOver) setDecided(client);
    });
    // It may have changed between drawing and listening.
    look();
    return () => {
      isOver = true;
      for (const stop of off) stop();
    };
  }, [client]);
  return { shown: decided === client ? client.path : 'connecting', rtt: client.rtt };
}

type LoadedDialog = typeof DiagnosticsDialog;

/**
 * The dialog's part of the program, and what asks for it. It is fetched once there is a connection, though perhaps nobody
 * asks: when somebody does, the network may be what is broken.
 */
function useDialog(client: Client): [LoadedDialog | 'failed' | undefined, () => void] {
  const [taps, setTaps] = useState(0);
  const [dialog, setDialog] = useState<{ loaded: LoadedDialog | 'failed' }>();
  useEffect(() => {
    if (typeof dialog?.loaded === 'function') return undefined;
    let isOver = false;
    const load = async () => {
      if (isOver) return;
      const loaded = await loadDialog().catch(() => 'failed' as const);
      if (!isOver) setDialog({ loaded });
    };
    if (taps > 0) void load();
    else void client.ready.then(load);
    return () => {
      isOver = true;
    };
    // Whoever taps once more tries once more.
  }, [client, taps]);
  const ask = () => {
    setTaps(taps + 1);
    // What failed before says nothing of this time.
    if (dialog?.loaded === 'failed') setDialog(undefined);
  };
  return [dialog?.loaded, ask];
}
