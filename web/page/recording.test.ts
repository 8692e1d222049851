import { expect, test } from 'vitest';
import { type Microphone, record } from './recording.ts';

/** A microphone whose use the person allows when the test says. */
class TestMicrophone implements Microphone {
  readonly allowed = Promise.withResolvers<void>();
  isOn = false;

  async open(): Promise<MediaStream> {
    await this.allowed.promise;
    this.isOn = true;
    const stop = () => {
      this.isOn = false;
    };
    return { getTracks: () => [{ stop }] } as unknown as MediaStream;
  }

  recorder(): MediaRecorder {
    const recorder = Object.assign(new EventTarget(), {
      state: 'inactive',
      mimeType: 'audio/webm',
      start: () => {
        recorder.state = 'recording';
      },
      stop: () => {
        recorder.state = 'inactive';
        recorder.dispatchEvent(Object.assign(new Event('dataavailable'), { data: new Blob(['said']) }));
        recorder.dispatchEvent(new Event('stop'));
      },
    });
    return recorder as unknown as MediaRecorder;
  }
}

test('what is said until the end is recorded, and the microphone goes off', async () => {
  const microphone = new TestMicrophone();
  microphone.allowed.resolve();
  const begun = Promise.withResolvers<() => void>();
  const recorded = record(begun.resolve, new AbortController().signal, microphone);
  const end = await begun.promise;
  expect(microphone.isOn).toBe(true);
  end();
  end();
  expect(await (await recorded).text()).toBe('said');
  expect(microphone.isOn).toBe(false);
});

test.each(['before it was allowed', 'after it had begun'])('who leaves %s leaves no microphone on', async (when) => {
  const microphone = new TestMicrophone();
  const leaving = new AbortController();
  const begun = Promise.withResolvers<() => void>();
  const recorded = record(begun.resolve, leaving.signal, microphone);
  recorded.catch(() => {});
  if (when === 'after it had begun') {
    microphone.allowed.resolve();
    await begun.promise;
  }
  leaving.abort();
  microphone.allowed.resolve();
  await expect(recorded).rejects.toThrow('aborted');
  expect(microphone.isOn).toBe(false);
});
