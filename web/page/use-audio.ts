/** Speech, where the server is known to have it: it lists a model for it, and has not said that it lacks the API. */
import { useCallback, useMemo, useState } from 'preact/hooks';
import { errorLine } from '../access/error-text.ts';
import { isMissing, speak, transcribe } from '../chat/audio.ts';
import { speechModel, transcriptionModel } from '../chat/models.ts';
import type { Dictation } from './dictation-button.tsx';
import type { PageState } from './page-state.ts';
import type { Voice } from './read-aloud.tsx';

type Ability = 'speech' | 'transcription';

const LACKS: Record<Ability, string> = {
  speech: 'The server of this host cannot read aloud.',
  transcription: 'The server of this host cannot write down speech.',
};

export interface Audio {
  voice: Voice | undefined;
  dictation: Dictation | undefined;
}

/** `say` tells the person what went wrong. */
export function useAudio({ client, host, models }: PageState, say: (text: string) => void): Audio {
  /** By host. */
  const [missing, setMissing] = useState<ReadonlySet<string>>(new Set());
  const speaker = missing.has(`speech ${host}`) ? undefined : speechModel(models);
  const writer = missing.has(`transcription ${host}`) ? undefined : transcriptionModel(models);

  const failed = useCallback(
    (ability: Ability, error: unknown, signal: AbortSignal) => {
      if (signal.aborted) return undefined;
      if (isMissing(error)) {
        setMissing((before) => new Set([...before, `${ability} ${host}`]));
        say(LACKS[ability]);
      } else {
        say(errorLine(error));
      }
      return undefined;
    },
    [host, say],
  );
  const voice = useMemo<Voice | undefined>(() => {
    if (client === undefined || speaker === undefined) return undefined;
    return {
      speak: (text, signal) =>
        speak(client, speaker, text, signal).catch((error: unknown) => failed('speech', error, signal)),
      problem: say,
    };
  }, [client, speaker, failed, say]);
  const dictation = useMemo<Dictation | undefined>(() => {
    // Without a secure context there is no microphone.
    if (client === undefined || writer === undefined || navigator.mediaDevices === undefined) return undefined;
    return {
      transcribe: (recording, signal) =>
        transcribe(client, writer, recording, signal).catch((error: unknown) => failed('transcription', error, signal)),
      problem: say,
    };
  }, [client, writer, failed, say]);
  return { voice, dictation };
}
