/** What happened when. */
import type { VNode } from 'preact';
import type { ConnectionReport, TimelineEvent } from '../client/index.ts';
import { clockTime } from '../look/format.ts';
import { eventText, offset } from './event-text.ts';
import { WAYS } from './ways.ts';

/** Of the path’s changes; older ones are in the timeline. */
const SHOWN_CHANGES = 8;

export function Timeline({ report: { timeline, startedAt } }: { report: ConnectionReport }): VNode {
  return (
    <>
      <p class="hint">Begun at {clockTime(startedAt, Date.now())}, with the time since then.</p>
      <ol class="timeline" data-testid="timeline">
        {timeline.map((event, index) => (
          // Events have no name, and two may come at the same time.
          <li key={`${event.at} ${index}`} class={`timeline-event ${kindOf(event)}`}>
            <span class="timeline-time">{offset(event.at)}</span>
            <span class="timeline-text">{eventText(event)}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

export function PathChanges({ report: { paths } }: { report: ConnectionReport }): VNode {
  return (
    <>
      <h4>Changes</h4>
      <ol class="timeline" data-testid="path-changes">
        {paths.slice(-SHOWN_CHANGES).map(({ at, path }) => (
          <li key={at} class="timeline-event">
            <span class="timeline-time">{offset(at)}</span>
            <span class="timeline-text">{WAYS[path].text}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

function kindOf({ fact }: TimelineEvent): string {
  if (fact?.type === 'failed') return 'is-bad';
  return fact?.type === 'path' ? 'is-path' : '';
}
