/** Plays sounds. */

/** What a browser does with sounds, apart for tests. */
export interface Sounds {
  /** An address for the sound, to be released. */
  address(sound: Blob): string;
  release(address: string): void;
  player(address: string): Pick<HTMLAudioElement, 'play' | 'pause' | 'addEventListener'>;
}

export const browserSounds: Sounds = {
  address: (sound) => URL.createObjectURL(sound),
  release: (address) => URL.revokeObjectURL(address),
  player: (address) => new Audio(address),
};

/** Until its end, or that of the signal. @throws Error when the browser cannot play it */
export async function play(sound: Blob, signal: AbortSignal, sounds: Sounds): Promise<void> {
  const address = sounds.address(sound);
  const player = sounds.player(address);
  const stop = () => player.pause();
  signal.addEventListener('abort', stop);
  try {
    const ended = new Promise<void>((resolve, reject) => {
      for (const event of ['ended', 'pause']) player.addEventListener(event, () => resolve());
      player.addEventListener('error', () => reject(new Error('the sound is broken')));
    });
    await Promise.all([player.play(), ended]);
  } catch (error) {
    // Who pauses it while it begins makes it fail.
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    sounds.release(address);
  }
}
