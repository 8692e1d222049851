/** The selected candidate pair, and all candidates of the last attempt. */
import type { VNode } from 'preact';
import type { CandidateFacts, ConnectionReport } from '../client/index.ts';
import { familyOf } from './addresses.ts';
import { lastCandidates, typeInWords } from './candidates.ts';

export function CandidateDetails({ report: { timeline, pair } }: { report: ConnectionReport }): VNode {
  const { local, remote } = lastCandidates(timeline);
  return (
    <>
      {pair === undefined ? (
        <p class="hint">There is no direct path.</p>
      ) : (
        <dl class="facts" data-testid="selected-pair">
          <dt>This browser</dt>
          <dd>
            <End candidate={pair.local} />
          </dd>
          <dt>The host</dt>
          <dd>
            <End candidate={pair.remote} />
          </dd>
        </dl>
      )}
      {local.length + remote.length === 0 ? null : (
        <details class="second-step">
          <summary>
            All candidates: {local.length} of this browser, {remote.length} of the host
          </summary>
          <table class="table">
            <thead>
              <tr>
                <th scope="col">Whose</th>
                <th scope="col">Type</th>
                <th scope="col">By</th>
                <th scope="col">Family</th>
                <th scope="col">Address</th>
              </tr>
            </thead>
            <tbody>
              {local.map((candidate, index) => (
                <Row key={index} whose="browser" candidate={candidate} />
              ))}
              {remote.map((candidate, index) => (
                <Row key={index} whose="host" candidate={candidate} />
              ))}
            </tbody>
          </table>
        </details>
      )}
    </>
  );
}

function End({ candidate }: { candidate: CandidateFacts | undefined }): VNode {
  if (candidate === undefined) return <>not told by the browser</>;
  const { type, protocol = '?', relayProtocol } = candidate;
  return (
    <>
      {typeInWords(type)} ({type}), {protocol}
      {relayProtocol === undefined ? null : `, to the TURN server by ${relayProtocol}`}
      <br />
      <Address candidate={candidate} />
    </>
  );
}

function Address({ candidate: { address, port } }: { candidate: CandidateFacts }): VNode {
  if (!address) return <span class="quiet-text">hidden by the browser</span>;
  const isIpv6 = familyOf(address) === 'IPv6';
  return (
    <span class="mono">
      {isIpv6 ? `[${address}]` : address}:{port}
    </span>
  );
}

function Row({ whose, candidate }: { whose: string; candidate: CandidateFacts }): VNode {
  const { type, protocol, address } = candidate;
  return (
    <tr>
      <td>{whose}</td>
      <td title={typeInWords(type)}>{type}</td>
      <td>{protocol}</td>
      <td>{familyOf(address)}</td>
      <td class="long">
        <Address candidate={candidate} />
      </td>
    </tr>
  );
}
