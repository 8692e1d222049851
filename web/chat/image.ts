/** Photos of a phone have ten megabytes; a model looks at a fraction of their points. */

/** Beyond it vision models scale down themselves (1568 is Claude’s; others take less). */
export const MAX_IMAGE_SIDE = 1568;
/** Half a dozen, in base64, fit in what hosts accept of a request. */
export const MAX_IMAGE_BYTES = 1_000_000;
/** What a browser is made to decode: a photo of 100 megapixels is under it. */
const MAX_FILE_BYTES = 50 * 1024 * 1024;
const QUALITIES = [0.9, 0.8, 0.65, 0.5];

export interface Size {
  width: number;
  height: number;
}

/** What a browser does with images, apart for tests. */
export interface ImagePlatform {
  /** Upright, as its EXIF says. Rejects for what is no image. */
  decode(file: Blob): Promise<Size & { close(): void; draw(size: Size, type: string, quality: number): Promise<Blob> }>;
}

export class ImageError extends Error {
  override readonly name = 'ImageError';
}

/** The longer side is `most` at the most; never larger than it was. */
export function scaledSize({ width, height }: Size, most: number): Size {
  const factor = Math.min(1, most / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/**
 * As every vision server takes it: PNG where it was one and is small, so that text on a screen stays sharp; otherwise
 * JPEG, drawn anew so that it says nothing about where it was taken. WebP is more than llama.cpp can read.
 * @throws ImageError in words for the person
 */
export async function smallImage(file: Blob, platform: ImagePlatform): Promise<Blob> {
  if (file.size > MAX_FILE_BYTES) throw new ImageError('The image is larger than 50 MB.');
  const image = await platform.decode(file).catch(() => {
    throw new ImageError('This browser cannot read the image.');
  });
  try {
    for (let side = MAX_IMAGE_SIDE; side >= 256; side = Math.round(side * 0.7)) {
      const size = scaledSize(image, side);
      if (file.type === 'image/png' && side === MAX_IMAGE_SIDE) {
        const png = await image.draw(size, 'image/png', 1);
        if (png.size <= MAX_IMAGE_BYTES) return png;
      }
      for (const quality of QUALITIES) {
        const jpeg = await image.draw(size, 'image/jpeg', quality);
        if (jpeg.size <= MAX_IMAGE_BYTES) return jpeg;
      }
    }
  } finally {
    image.close();
  }
  throw new ImageError('The image cannot be made small enough.');
}

export const browserImages: ImagePlatform = {
  async decode(file) {
    const bitmap = await createImageBitmap(file);
    const { width, height } = bitmap;
    return {
      width,
      height,
      close: () => bitmap.close(),
      draw: (size, type, quality) => draw(bitmap, size, type, quality),
    };
  },
};

async function draw(bitmap: ImageBitmap, { width, height }: Size, type: string, quality: number): Promise<Blob> {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (context === null) throw new ImageError('This browser cannot draw the image.');
  if (type === 'image/jpeg') {
    // It knows no transparency, which would become black.
    context.fillStyle = '#ffffff';
    context.fillRect(0, 0, width, height);
  }
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, quality));
  if (blob === null) throw new ImageError('This browser cannot draw the image.');
  return blob;
}
