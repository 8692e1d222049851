import { expect, test } from 'vitest';
import { attachmentOf } from './attachment.ts';
import { type ImagePlatform, MAX_IMAGE_BYTES, type Size, scaledSize, smallImage } from './image.ts';

test.each([
  [
    { width: 4000, height: 3000 },
    { width: 1568, height: 1176 },
  ],
  [
    { width: 3000, height: 4000 },
    { width: 1176, height: 1568 },
  ],
  [
    { width: 800, height: 600 },
    { width: 800, height: 600 },
  ],
  [
    { width: 100_000, height: 3 },
    { width: 1568, height: 1 },
  ],
])('%j becomes %j', (size, scaled) => {
  expect(scaledSize(size, 1568)).toEqual(scaled);
});

/** Every point of an image takes this many bytes; JPEG by its quality. */
function platform(size: Size, bytesPerPoint: { png: number; jpeg: number }) {
  const drawn: [Size, string, number][] = [];
  let closed = 0;
  const images: ImagePlatform = {
    decode: async () => ({
      ...size,
      close: () => closed++,
      draw: async (size, type, quality) => {
        drawn.push([size, type, quality]);
        const each = type === 'image/png' ? bytesPerPoint.png : bytesPerPoint.jpeg * quality;
        const value = Math.round(size.width * size.height * each);
        // Gigabytes, some of them.
        return Object.defineProperty(new Blob(['\0'], { type }), 'size', { value });
      },
    }),
  };
  return { images, drawn, closed: () => closed };
}

const photo = new Blob(['x'], { type: 'image/jpeg' });
const screenshot = new Blob(['x'], { type: 'image/png' });

test('a photo becomes a JPEG that is small in both ways', async () => {
  const { images, drawn, closed } = platform({ width: 4000, height: 3000 }, { png: 3, jpeg: 0.65 });
  const small = await smallImage(photo, images);
  expect([small.type, small.size <= MAX_IMAGE_BYTES]).toEqual(['image/jpeg', true]);
  expect(drawn.map(([, , quality]) => quality)).toEqual([0.9, 0.8]);
  expect(closed()).toBe(1);
});

test('a PNG stays one if it is small, and sharp', async () => {
  expect((await smallImage(screenshot, platform({ width: 800, height: 600 }, { png: 0.5, jpeg: 1 }).images)).type).toBe(
    'image/png',
  );
  expect(
    (await smallImage(screenshot, platform({ width: 1568, height: 900 }, { png: 3, jpeg: 0.5 }).images)).type,
  ).toBe('image/jpeg');
});

test('what no quality makes small enough becomes smaller', async () => {
  const { images, drawn } = platform({ width: 1568, height: 1568 }, { png: 9, jpeg: 2 });
  expect((await smallImage(photo, images)).size).toBeLessThanOrEqual(MAX_IMAGE_BYTES);
  expect(drawn.at(-1)?.[0].width).toBeLessThan(1568);
});

test('what is no image, or too much of one, is refused in words', async () => {
  const broken: ImagePlatform = { decode: () => Promise.reject(new DOMException('no image', 'InvalidStateError')) };
  await expect(smallImage(photo, broken)).rejects.toThrow('cannot read the image');
  const { images, closed } = platform({ width: 1000, height: 1000 }, { png: 99, jpeg: 999 });
  await expect(smallImage(photo, images)).rejects.toThrow('small enough');
  expect(closed()).toBe(1);
});

test('recordings go along as they are, and other files not at all', async () => {
  const { images } = platform({ width: 1, height: 1 }, { png: 1, jpeg: 1 });
  const bytes = new Uint8Array(100_000).map((_, i) => i);
  const sound = await attachmentOf(new File([bytes], 'a.WAV'), images);
  expect(sound).toMatchObject({ kind: 'audio', name: 'a.WAV', format: 'wav' });
  expect(Buffer.from(sound.kind === 'audio' ? sound.data : '', 'base64')).toEqual(Buffer.from(bytes));
  expect(await attachmentOf(new File(['x'], 'a', { type: 'audio/mpeg' }), images)).toMatchObject({ format: 'mp3' });
  expect(await attachmentOf(new File(['x'], 'a.png', { type: 'image/png' }), images)).toEqual({
    kind: 'image',
    name: 'a.png',
    url: 'data:image/png;base64,AA==',
  });
  for (const type of ['image/svg+xml', 'text/html', ''])
    await expect(attachmentOf(new File(['x'], 'a', { type }), images)).rejects.toThrow('neither an image');
});
