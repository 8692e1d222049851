import { expect, test } from 'vitest';
import { play, type Sounds } from './playback.ts';

/** A browser whose player does as the test says. */
class TestSounds implements Sounds {
  readonly released: string[] = [];
  readonly events = new EventTarget();
  readonly begun = Promise.withResolvers<void>();

  address(): string {
    return 'blob:1';
  }

  release(address: string): void {
    this.released.push(address);
  }

  player() {
    return Object.assign(this.events, {
      play: () => this.begun.promise,
      pause: () => {
        this.begun.reject(new DOMException('paused', 'AbortError'));
        this.events.dispatchEvent(new Event('pause'));
      },
    }) as unknown as HTMLAudioElement;
  }
}

const sound = new Blob(['x']);
const never = new AbortController().signal;

test('a sound is played to its end', async () => {
  const sounds = new TestSounds();
  const played = play(sound, never, sounds);
  sounds.begun.resolve();
  await Promise.resolve();
  expect(sounds.released).toEqual([]);
  sounds.events.dispatchEvent(new Event('ended'));
  await played;
  expect(sounds.released).toEqual(['blob:1']);
});

test('a sound that is stopped before it begins leaves nothing behind', async () => {
  const sounds = new TestSounds();
  const stop = new AbortController();
  const played = play(sound, stop.signal, sounds);
  stop.abort();
  await played;
  expect(sounds.released).toEqual(['blob:1']);
});

test('a sound that the browser cannot play is said, and leaves nothing behind', async () => {
  const sounds = new TestSounds();
  const played = play(sound, never, sounds);
  sounds.begun.reject(new DOMException('no decoder', 'NotSupportedError'));
  await expect(played).rejects.toThrow('no decoder');
  expect(sounds.released).toEqual(['blob:1']);
});
