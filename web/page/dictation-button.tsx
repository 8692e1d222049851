/** Writes what a person says. The browser asks for the microphone at the first press, not before. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { browserMicrophone, record } from './recording.ts';

/** Of a server that is known to have it. */
export interface Dictation {
  /** Undefined when there is no text, which the person is told elsewhere. */
  transcribe: (recording: Blob, signal: AbortSignal) => Promise<string | undefined>;
  problem: (text: string) => void;
}

export function DictationButton({
  dictation,
  onText,
}: {
  dictation: Dictation;
  onText: (text: string) => void;
}): VNode {
  const [state, setState] = useState<'idle' | 'asking' | 'recording' | 'writing'>('idle');
  const stop = useRef<(() => void) | undefined>(undefined);
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);

  const run = async () => {
    const { signal } = leaving.current;
    setState('asking');
    try {
      const begun = (end: () => void) => {
        stop.current = end;
        setState('recording');
      };
      const recording = await record(begun, signal, browserMicrophone);
      setState('writing');
      const text = await dictation.transcribe(recording, signal);
      if (!signal.aborted && text !== undefined) onText(text);
    } catch (error) {
      if (signal.aborted) return;
      const denied = error instanceof DOMException && error.name === 'NotAllowedError';
      dictation.problem(
        denied ? 'The browser does not allow this page to use the microphone.' : 'There is no microphone.',
      );
    } finally {
      stop.current = undefined;
      if (!signal.aborted) setState('idle');
    }
  };
  const labels = { idle: 'Dictate', asking: 'Dictate', recording: 'End the dictation', writing: 'Writing…' };
  return (
    <button
      type="button"
      class={state === 'recording' ? 'icon-button recording' : 'icon-button'}
      data-testid="dictate"
      aria-label={labels[state]}
      title={labels[state]}
      disabled={state === 'asking' || state === 'writing'}
      onClick={() => (state === 'recording' ? stop.current?.() : void run())}
    >
      <Icon name={state === 'recording' ? 'stop' : 'microphone'} />
    </button>
  );
}
