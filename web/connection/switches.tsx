/** Ways that are not the best one, for who wants to know whether they work. */
import type { VNode } from 'preact';
import type { ConnectionReport } from '../client/index.ts';
import type { Forced } from './indicator.tsx';

export interface SwitchesProps {
  report: ConnectionReport;
  forced: Forced;
  onReconnect: (options: Forced) => void;
}

export function Switches({ report, forced, onReconnect }: SwitchesProps): VNode {
  const noWebRtc = forced.webrtc === false;
  const forceTurn = !noWebRtc && forced.iceTransportPolicy === 'relay';
  const byAddress = !noWebRtc && !forceTurn && (!report.webrtc || report.iceTransportPolicy === 'relay');
  return (
    <>
      <Switch
        testid="force-turn"
        label="Force TURN"
        hint="Through a TURN server, even where a straight way works."
        isOn={forceTurn}
        toggle={(isOn) => onReconnect(isOn ? { iceTransportPolicy: 'relay' } : {})}
      />
      <Switch
        testid="no-webrtc"
        label="No WebRTC"
        hint="Through the edge’s relay alone, for networks on which direct paths come and go."
        isOn={noWebRtc}
        toggle={(isOn) => onReconnect(isOn ? { webrtc: false } : {})}
      />
      <p class="hint" role="status">
        {byAddress
          ? 'This page’s address asks for one of them (webrtc_turn or no_webrtc); take that off to have all paths.'
          : noWebRtc || forceTurn
            ? 'Active until this page is closed. Answers that are coming just now go on by the other way.'
            : 'Answers that are coming just now go on by the other way.'}
      </p>
    </>
  );
}

interface SwitchProps {
  testid: string;
  label: string;
  hint: string;
  isOn: boolean;
  toggle: (isOn: boolean) => void;
}

function Switch({ testid, label, hint, isOn, toggle }: SwitchProps): VNode {
  return (
    <label class="switch">
      <input
        type="checkbox"
        role="switch"
        data-testid={testid}
        checked={isOn}
        aria-checked={isOn}
        onChange={(event) => toggle(event.currentTarget.checked)}
      />
      <span>
        {label}
        <span class="hint">{hint}</span>
      </span>
    </label>
  );
}
