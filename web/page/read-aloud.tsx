/** Reads an answer aloud by the server’s voice. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { spokenText } from '../chat/audio.ts';
import { Icon } from './icons.tsx';
import { browserSounds, play } from './playback.ts';

/** Of a server that is known to have one. */
export interface Voice {
  /** The sound; undefined when there is none, which the person is told elsewhere. */
  speak: (text: string, signal: AbortSignal) => Promise<Blob | undefined>;
  problem: (text: string) => void;
}

export function ReadAloud({ text, voice }: { text: string; voice: Voice }): VNode {
  const [playing, setPlaying] = useState<AbortController>();
  const leaving = useRef(playing);
  leaving.current = playing;
  useEffect(() => () => leaving.current?.abort(), []);

  const read = async () => {
    const run = new AbortController();
    setPlaying(run);
    try {
      const sound = await voice.speak(spokenText(text), run.signal);
      if (sound !== undefined && !run.signal.aborted) await play(sound, run.signal, browserSounds);
    } catch {
      voice.problem('This browser cannot play what the server has read.');
    } finally {
      setPlaying((now) => (now === run ? undefined : now));
    }
  };
  const stop = () => {
    playing?.abort();
    setPlaying(undefined);
  };
  const label = playing === undefined ? 'Read aloud' : 'Stop reading';
  return (
    <button
      type="button"
      class="icon-button small"
      data-testid="read-aloud"
      aria-label={label}
      title={label}
      aria-pressed={playing !== undefined}
      onClick={() => (playing === undefined ? void read() : stop())}
    >
      <Icon name={playing === undefined ? 'speaker' : 'stop'} size={17} />
    </button>
  );
}
