/** Finds words in all that was ever said on this device. */
import type { Conversation, Message } from './conversation.ts';
import type { Records } from './records.ts';
import { splitThinking } from './thinking.ts';

export interface Found {
  conversation: Conversation;
  /** The place, with some words around it; undefined where the title alone has it. */
  excerpt?: string;
}

const BEFORE_CHARACTERS = 30;
const AFTER_CHARACTERS = 90;

/** In the order of `conversations`: those whose title or texts have every word of `query`, in any case. */
export async function search(
  records: Pick<Records, 'each'>,
  conversations: readonly Conversation[],
  query: string,
): Promise<Found[]> {
  const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const first = words[0];
  if (first === undefined) return conversations.map((conversation) => ({ conversation }));
  const missing = new Map(conversations.map(({ id, title }) => [id, lacking(title, words)]));
  const excerpts = new Map<string, string>();
  await records.each((message) => {
    const left = missing.get(message.conversation);
    if (left === undefined) return;
    const text = textOf(message);
    missing.set(message.conversation, lacking(text, left));
    if (excerpts.has(message.conversation)) return;
    const at = text.toLocaleLowerCase().indexOf(first);
    if (at >= 0) excerpts.set(message.conversation, excerptOf(text, at));
  });
  return conversations
    .filter(({ id }) => missing.get(id)?.length === 0)
    .map((conversation) => {
      const excerpt = excerpts.get(conversation.id);
      return excerpt === undefined ? { conversation } : { conversation, excerpt };
    });
}

function lacking(text: string, words: readonly string[]): readonly string[] {
  if (words.length === 0) return words;
  const lower = text.toLocaleLowerCase();
  return words.filter((word) => !lower.includes(word));
}

function textOf(message: Message): string {
  return message.role === 'user' ? message.text : splitThinking(message.text).text;
}

function excerptOf(text: string, at: number): string {
  const from = Math.max(0, at - BEFORE_CHARACTERS);
  const to = Math.min(text.length, at + AFTER_CHARACTERS);
  const words = text.slice(from, to).replace(/\s+/g, ' ').trim();
  return `${from > 0 ? '…' : ''}${words}${to < text.length ? '…' : ''}`;
}
