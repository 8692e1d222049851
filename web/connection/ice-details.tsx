/** STUN and TURN: who named the servers, whether one is in use, and when its credentials end. */
import type { VNode } from 'preact';
import type { IceStatus } from '../../shared/account-api.ts';
import type { ConnectionReport } from '../client/index.ts';
import { credentialsEnd, serverKinds, sourceInWords } from './ice-words.ts';

export function IceDetails({ report, status }: { report: ConnectionReport; status: IceStatus | undefined }): VNode {
  const { ice, path, pair } = report;
  if (ice === undefined) {
    return (
      <p class="hint">{report.webrtc ? 'The edge has not named any servers yet.' : 'Of no use without WebRTC.'}</p>
    );
  }
  const kinds = serverKinds(ice);
  const end = credentialsEnd(report);
  const whose = pair?.local?.type === 'relay' ? 'this browser’s side' : 'the host’s side';
  return (
    <dl class="facts" data-testid="ice-servers">
      <dt>Servers</dt>
      <dd>{kinds.length === 0 ? 'none' : kinds.join(', ')}</dd>
      <dt>Named by</dt>
      <dd>{sourceInWords(ice.source)}</dd>
      <dt>TURN in use</dt>
      <dd>{path === 'turn' ? `yes, on ${whose}` : 'no'}</dd>
      {end === undefined ? null : (
        <>
          <dt>Credentials</dt>
          <dd>{end}</dd>
        </>
      )}
      {status?.providers.map(({ source, failing, reason, succeeded_at }) => (
        <Provider key={source} name={sourceInWords(source)} state={state(failing, reason, succeeded_at)} />
      ))}
    </dl>
  );
}

function Provider({ name, state }: { name: string; state: string }): VNode {
  return (
    <>
      <dt>Provider</dt>
      <dd>
        {name}: {state}
      </dd>
    </>
  );
}

function state(failing: boolean, reason: string | null, succeededAt: number | null): string {
  if (failing) return `fails (${reason ?? 'not known why'})`;
  return succeededAt === null ? 'not asked yet' : 'works';
}
