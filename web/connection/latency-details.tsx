/** How fast answers begin, in a picture and in numbers, and a button that measures. */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { Client, RequestRecord } from '../client/index.ts';
import { offset } from './event-text.ts';
import { duration, latencies, type Sample, samplesOf } from './latency.ts';
import { LatencyPlot, Mark } from './latency-plot.tsx';
import { type Measured, type Measurement, measure } from './measure.ts';
import { WAYS } from './ways.ts';

/** In the table; the picture has all of them. */
const SHOWN_ROWS = 20;

export function LatencyDetails({ client, requests }: { client: Client; requests: readonly RequestRecord[] }): VNode {
  const samples = samplesOf(requests);
  return (
    <>
      {samples.length === 0 ? (
        <p class="hint">No request was answered yet.</p>
      ) : (
        <>
          <LatencyPlot samples={samples} />
          <ul class="legend">
            {latencies(samples).map(({ way, count, median }) => (
              <li key={way}>
                <svg class="legend-mark" viewBox="-8 -8 16 16" width="14" height="14" aria-hidden="true">
                  <Mark way={way} x={0} y={0} />
                </svg>
                {WAYS[way].text.slice(2)}: {duration(median)}{' '}
                <span class="quiet-text">{count === 1 ? 'once' : `median of ${count}`}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      <Measure key={client.path} client={client} />
      {samples.length === 0 ? null : <SampleTable samples={samples.slice(-SHOWN_ROWS)} />}
    </>
  );
}

function Measure({ client }: { client: Client }): VNode {
  const [isRunning, setRunning] = useState(false);
  const [measured, setMeasured] = useState<Measurement>();
  const run = async () => {
    setRunning(true);
    try {
      setMeasured(await measure(client, () => performance.now()));
    } finally {
      setRunning(false);
    }
  };
  return (
    <div class="diagnostics-actions">
      <button
        class="button quiet small"
        type="button"
        data-testid="measure"
        disabled={isRunning}
        onClick={() => void run()}
      >
        {isRunning ? 'Measuring…' : 'Measure now'}
      </button>
      <p class="hint" role="status" data-testid="measured">
        {measured === undefined
          ? 'Asks for the list of models, five times by this path and by the tunnel.'
          : measurementText(measured)}
      </p>
    </div>
  );
}

function measurementText({ current, tunnel }: Measurement): string {
  const parts = [
    ...(current === undefined ? [] : [`${WAYS[current.way].text} ${measuredText(current)}`]),
    `${WAYS.tunnel.text} ${measuredText(tunnel)}`,
  ];
  return `${parts.join(', ')}.`;
}

function measuredText({ median, problem }: Measured): string {
  return median === undefined ? `failed (${problem ?? 'nothing was sent'})` : duration(median);
}

function SampleTable({ samples }: { samples: readonly Sample[] }): VNode {
  return (
    <details class="second-step">
      <summary>As a table</summary>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">Request</th>
            <th scope="col">Path</th>
            <th scope="col">First byte</th>
          </tr>
        </thead>
        <tbody>
          {samples.map(({ at, name, way, firstByteMs }, index) => (
            <tr key={index}>
              <td>{offset(at)}</td>
              <td class="long">{name}</td>
              <td>{way}</td>
              <td>{duration(firstByteMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
