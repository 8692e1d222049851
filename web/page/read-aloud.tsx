/** Reads an answer aloud by the server’s voice. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { spokenText } from '../chat/audio.ts';
import { Icon } from './icons.tsx';

/** Of a server that is known to have one. */
export interface Voice {
  /** The sound; undefined when there is none, which the person is told elsewhere. */
  speak: (text: string, signal: AbortSignal) => Promise<Blob | undefined>;
}

export function ReadAloud({ text, voice }: { text: string; voice: Voice }): VNode {
  const [playing, setPlaying] = useState<AbortController>();
  const audio = useRef<HTMLAudioElement | undefined>(undefined);
  const stop = () => {
    playing?.abort();
    audio.current?.pause();
    setPlaying(undefined);
  };
  const leaving = useRef(stop);
  leaving.current = stop;
  useEffect(() => () => leaving.current(), []);

  const play = async () => {
    const run = new AbortController();
    setPlaying(run);
    try {
      const sound = await voice.speak(spokenText(text), run.signal);
      if (sound === undefined || run.signal.aborted) return;
      const url = URL.createObjectURL(sound);
      audio.current = new Audio(url);
      const ended = new Promise((resolve) => {
        for (const event of ['ended', 'pause', 'error']) audio.current?.addEventListener(event, resolve);
      });
      await audio.current.play();
      await ended;
      URL.revokeObjectURL(url);
    } catch {
      // The browser cannot play it, or was told not to.
    } finally {
      setPlaying((now) => (now === run ? undefined : now));
    }
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
      onClick={() => (playing === undefined ? void play() : stop())}
    >
      <Icon name={playing === undefined ? 'speaker' : 'stop'} size={17} />
    </button>
  );
}
