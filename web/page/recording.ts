/** Records what a person says. */

/** Longer than a message that anybody speaks; a forgotten microphone ends here. */
const MAX_RECORDING_MS = 5 * 60_000;

/** What a browser has for it, apart for tests. */
export interface Microphone {
  /** Asks the person, who may take their time. @throws DOMException without a microphone, or the right to use it */
  open(): Promise<MediaStream>;
  recorder(stream: MediaStream): MediaRecorder;
}

export const browserMicrophone: Microphone = {
  open: () => navigator.mediaDevices.getUserMedia({ audio: true }),
  recorder: (stream) => new MediaRecorder(stream),
};

/**
 * From the call of `begun`, which is given what ends it, or until the signal.
 * @throws the signal’s reason; DOMException without a microphone, or the right to use it
 */
export async function record(
  begun: (end: () => void) => void,
  signal: AbortSignal,
  microphone: Microphone,
): Promise<Blob> {
  const stream = await microphone.open();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    // The person was asked, and has gone on meanwhile.
    signal.throwIfAborted();
    const recorder = microphone.recorder(stream);
    const pieces: Blob[] = [];
    recorder.addEventListener('dataavailable', ({ data }) => pieces.push(data));
    const ended = new Promise<void>((resolve, reject) => {
      recorder.addEventListener('stop', () => resolve(), { once: true });
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    recorder.start();
    const end = () => {
      if (recorder.state !== 'inactive') recorder.stop();
    };
    timer = setTimeout(end, MAX_RECORDING_MS);
    begun(end);
    await ended;
    return new Blob(pieces, { type: recorder.mimeType });
  } finally {
    clearTimeout(timer);
    // The browser’s sign that the page listens goes out.
    for (const track of stream.getTracks()) track.stop();
  }
}
