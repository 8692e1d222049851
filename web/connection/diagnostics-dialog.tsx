/** All about the connection: its state in plain words first, what helps, and then every detail. */
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { IceStatus } from '../../shared/account-api.ts';
import type { Client, ConnectionReport } from '../client/index.ts';
import { CandidateDetails } from './candidate-details.tsx';
import { CopyReport } from './copy-report.tsx';
import { IceDetails } from './ice-details.tsx';
import type { Forced } from './indicator.tsx';
import { LatencyDetails } from './latency-details.tsx';
import { Switches } from './switches.tsx';
import { PathChanges, Timeline } from './timeline.tsx';
import { useReport } from './use-report.ts';
import { type Warning, warningsOf } from './warnings.ts';
import { type Shown, WAYS } from './ways.ts';

export interface DiagnosticsDialogProps {
  client: Client;
  /** As the indicator has it. */
  shown: Shown;
  forced: Forced;
  onReconnect: (options: Forced) => void;
  ice: (() => Promise<IceStatus>) | undefined;
  onClose: () => void;
}

export function DiagnosticsDialog({ ice, onClose, ...rest }: DiagnosticsDialogProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const report = useReport(rest.client);
  const status = useIceStatus(ice);
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class="dialog diagnostics"
      data-testid="diagnostics"
      aria-labelledby="diagnostics-title"
      closedby="any"
      onClose={onClose}
    >
      <div class="diagnostics-head">
        <h2 id="diagnostics-title">Connection</h2>
        <button class="diagnostics-close" type="button" aria-label="Close" onClick={() => dialog.current?.close()}>
          ✕
        </button>
      </div>
      {report === undefined ? null : <Diagnostics report={report} status={status} {...rest} />}
    </dialog>
  );
}

interface DiagnosticsProps extends Omit<DiagnosticsDialogProps, 'ice' | 'onClose'> {
  report: ConnectionReport;
  status: IceStatus | undefined;
}

function Diagnostics({ client, shown, report, status, forced, onReconnect }: DiagnosticsProps): VNode {
  const hasWebRtc = typeof RTCPeerConnection === 'function';
  const isDecided = shown !== 'connecting';
  const warnings = warningsOf({ report, isDecided, online: navigator.onLine, hasWebRtc, ice: status });
  return (
    <div class="diagnostics-body">
      <Summary shown={shown} rtt={report.rtt} />
      <Warnings warnings={warnings} />
      <Section title="Response times">
        <LatencyDetails client={client} requests={report.requests} />
      </Section>
      <Section title="Path">
        <CandidateDetails report={report} />
        <PathChanges report={report} />
      </Section>
      <Section title="STUN and TURN">
        <IceDetails report={report} status={status} />
      </Section>
      <Section title="Try another way">
        <Switches report={report} forced={forced} onReconnect={onReconnect} />
      </Section>
      <Section title="Timeline">
        <Timeline report={report} />
      </Section>
      <Section title="Bug report">
        <CopyReport report={report} warnings={warnings} />
      </Section>
    </div>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }): VNode {
  return (
    <section class="diagnostics-section">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Summary({ shown, rtt }: { shown: Shown; rtt: number | undefined }): VNode {
  const { text, sentence, privacy, speed } = WAYS[shown];
  return (
    <div class="diagnostics-summary" data-testid="connection-state">
      <p class="diagnostics-sentence">
        <span class="path-pill" data-path={shown}>
          {text}
        </span>{' '}
        {sentence}
      </p>
      <dl class="facts">
        <dt>Privacy</dt>
        <dd>{privacy}</dd>
        <dt>Speed</dt>
        <dd>
          {speed} {rtt === undefined ? null : `A round trip takes ${Math.max(1, Math.round(rtt))} ms.`}
        </dd>
      </dl>
    </div>
  );
}

function Warnings({ warnings }: { warnings: readonly Warning[] }): VNode | null {
  if (warnings.length === 0) return null;
  return (
    <ul class="diagnostics-warnings" aria-label="Warnings" data-testid="connection-warnings">
      {warnings.map(({ id, text, advice }) => (
        <li key={id} class="warning">
          <strong>{text}</strong> {advice}
        </li>
      ))}
    </ul>
  );
}

/** Undefined where the edge does not tell. */
function useIceStatus(ice: (() => Promise<IceStatus>) | undefined): IceStatus | undefined {
  const [status, setStatus] = useState<IceStatus>();
  useEffect(() => {
    let isOver = false;
    // The dialog has much to show without it.
    ice?.().then(
      (known) => !isOver && setStatus(known),
      () => {},
    );
    return () => {
      isOver = true;
    };
  }, []);
  return status;
}
