/** A conversation as OpenAI’s chat completions API takes it. */
import type { Attachment, Conversation, Message } from './conversation.ts';
import { splitThinking } from './thinking.ts';

type Part =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string } }
  | { type: 'input_audio'; input_audio: { data: string; format: string } };

export interface RequestMessage {
  role: 'system' | 'user' | 'assistant';
  /** Text alone as a string, which every server takes. */
  content: string | Part[];
}

export interface RequestBody {
  model: string;
  messages: RequestMessage[];
  stream: true;
  [parameter: string]: unknown;
}

/** `messages` in their order, the last of them the question. */
export function requestBody(
  { system, parameters }: Pick<Conversation, 'system' | 'parameters'>,
  model: string,
  messages: readonly Message[],
): RequestBody {
  const given: RequestMessage[] = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  for (const message of messages) {
    const content = contentOf(message);
    if (content.length === 0) continue;
    const last = given.at(-1);
    // Many models refuse two messages of one side in a row, which an answer that failed would leave.
    if (last?.role === message.role) last.content = joined(last.content, content);
    else given.push({ role: message.role, content });
  }
  return { model, messages: given, stream: true, stream_options: { include_usage: true }, ...parameters };
}

function contentOf(message: Message): string | Part[] {
  // What a model thought is not for its next answer (DeepSeek’s and Qwen’s templates take it out, too).
  if (message.role === 'assistant') return splitThinking(message.text).text;
  const { text, attachments } = message;
  if (attachments.length === 0) return text;
  return [...(text === '' ? [] : textPart(text)), ...attachments.map(attachmentPart)];
}

function joined(before: string | Part[], after: string | Part[]): string | Part[] {
  if (typeof before === 'string' && typeof after === 'string') return `${before}\n\n${after}`;
  return [...partsOf(before), ...partsOf(after)];
}

function partsOf(content: string | Part[]): Part[] {
  return typeof content === 'string' ? textPart(content) : content;
}

function textPart(text: string): Part[] {
  return [{ type: 'text', text }];
}

function attachmentPart(attachment: Attachment): Part {
  if (attachment.kind === 'image') return { type: 'image_url', image_url: { url: attachment.url } };
  const { data, format } = attachment;
  return { type: 'input_audio', input_audio: { data, format } };
}
