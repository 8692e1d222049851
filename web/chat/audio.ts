/** OpenAI’s audio API: speech to text and text to speech. */
import { ApiError, apiError } from '../access/api-error.ts';
import type { ChatClient } from './chat-client.ts';

/** OpenAI’s limit; longer texts are read up to here. */
const MAX_SPOKEN_CHARACTERS = 4096;

/** @throws ApiError or TypeError */
export async function transcribe(
  client: Pick<ChatClient, 'fetch'>,
  model: string,
  recording: Blob,
  signal: AbortSignal,
): Promise<string> {
  const form = new FormData();
  form.append('file', recording, `speech.${extensionOf(recording.type)}`);
  form.append('model', model);
  const response = await client.fetch('/v1/audio/transcriptions', { method: 'POST', body: form, signal });
  if (!response.ok) throw await apiError(response);
  const { text } = (await response.json()) as { text?: unknown };
  return typeof text === 'string' ? text.trim() : '';
}

/** @throws ApiError or TypeError */
export async function speak(
  client: Pick<ChatClient, 'fetch'>,
  model: string,
  text: string,
  signal: AbortSignal,
): Promise<Blob> {
  const input = text.slice(0, MAX_SPOKEN_CHARACTERS);
  const response = await client.fetch('/v1/audio/speech', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model, input, voice: 'alloy', response_format: 'mp3' }),
    signal,
  });
  if (!response.ok) throw await apiError(response);
  return await response.blob();
}

/** The server has no such API at all, so there is no use in offering it. */
export function isMissing(error: unknown): boolean {
  return error instanceof ApiError && [404, 405, 501].includes(error.status);
}

/** Marks that one does not read aloud, and code, which nobody wants to hear. */
export function spokenText(markdown: string): string {
  return markdown
    .replace(/```[\s\S]*?(?:```|$)/g, ' ')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^[#>\s*+-]+/gm, '')
    .replace(/[*_`|]+/g, '')
    .trim();
}

function extensionOf(type: string): string {
  if (type.includes('mp4')) return 'm4a';
  return type.includes('ogg') ? 'ogg' : 'webm';
}
