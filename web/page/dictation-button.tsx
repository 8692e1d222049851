/** Writes what a person says. The browser asks for the microphone at the first press, not before. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';

/** Of a server that is known to have it. */
export interface Dictation {
  /** Undefined when there is no text, which the person is told elsewhere. */
  transcribe: (recording: Blob, signal: AbortSignal) => Promise<string | undefined>;
  problem: (text: string) => void;
}

/** Longer than a message that anybody speaks; a forgotten microphone ends here. */
const MAX_RECORDING_MS = 5 * 60_000;

export function DictationButton({
  dictation,
  onText,
}: {
  dictation: Dictation;
  onText: (text: string) => void;
}): VNode {
  const [state, setState] = useState<'idle' | 'recording' | 'writing'>('idle');
  const stop = useRef<(() => void) | undefined>(undefined);
  const leaving = useRef(new AbortController());
  useEffect(
    () => () => {
      leaving.current.abort();
      stop.current?.();
    },
    [],
  );

  const run = async () => {
    const { signal } = leaving.current;
    try {
      const recording = await record((end) => {
        stop.current = end;
        setState('recording');
      });
      if (signal.aborted) return;
      setState('writing');
      const text = await dictation.transcribe(recording, signal);
      if (!signal.aborted && text !== undefined) onText(text);
    } catch (error) {
      const denied = error instanceof DOMException && error.name === 'NotAllowedError';
      dictation.problem(
        denied ? 'The browser does not allow this page to use the microphone.' : 'There is no microphone.',
      );
    } finally {
      stop.current = undefined;
      if (!signal.aborted) setState('idle');
    }
  };
  const labels = { idle: 'Dictate', recording: 'End the dictation', writing: 'Writing…' };
  return (
    <button
      type="button"
      class={state === 'recording' ? 'icon-button recording' : 'icon-button'}
      data-testid="dictate"
      aria-label={labels[state]}
      title={labels[state]}
      disabled={state === 'writing'}
      onClick={() => (state === 'recording' ? stop.current?.() : void run())}
    >
      <Icon name={state === 'recording' ? 'stop' : 'microphone'} />
    </button>
  );
}

/** Until `end` is called. @throws DOMException without a microphone, or the right to use it */
async function record(begun: (end: () => void) => void): Promise<Blob> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  try {
    const recorder = new MediaRecorder(stream);
    const pieces: Blob[] = [];
    recorder.addEventListener('dataavailable', ({ data }) => pieces.push(data));
    const ended = new Promise((resolve) => recorder.addEventListener('stop', resolve, { once: true }));
    recorder.start();
    const timer = setTimeout(() => recorder.stop(), MAX_RECORDING_MS);
    begun(() => recorder.stop());
    await ended;
    clearTimeout(timer);
    return new Blob(pieces, { type: recorder.mimeType });
  } finally {
    // The browser’s sign that the page listens goes out.
    for (const track of stream.getTracks()) track.stop();
  }
}
