/** Files that go along with a question. */
import type { Attachment } from './conversation.ts';
import { type ImagePlatform, smallImage } from './image.ts';

/** In base64 it is just under what hosts accept of a request. */
const MAX_AUDIO_BYTES = 7 * 1024 * 1024;
export class AttachmentError extends Error {
  override readonly name = 'AttachmentError';
}

/** @throws AttachmentError or ImageError, in words for the person */
export async function attachmentOf(file: File, platform: ImagePlatform): Promise<Attachment> {
  const { name } = file;
  const format = audioFormat(file);
  if (format !== undefined) {
    if (file.size > MAX_AUDIO_BYTES) throw new AttachmentError(`“${name}” is larger than 7 MB.`);
    return { kind: 'audio', name, format, data: await base64(file) };
  }
  // What may have scripts in it is for no model.
  if (!file.type.startsWith('image/') || file.type === 'image/svg+xml')
    throw new AttachmentError(`“${name}” is neither an image nor a recording in WAV or MP3.`);
  const image = await smallImage(file, platform);
  return { kind: 'image', name, url: `data:${image.type};base64,${await base64(image)}` };
}

function audioFormat({ name, type }: File): 'wav' | 'mp3' | undefined {
  if (/^audio\/(?:x-|vnd\.)?wave?$/.test(type) || /\.wav$/i.test(name)) return 'wav';
  if (/^audio\/(?:mpeg|mp3)$/.test(type) || /\.mp3$/i.test(name)) return 'mp3';
  return undefined;
}

async function base64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = '';
  // More arguments at once than engines take.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
