/** Conversations as files, in and out. */
import { fromArchive, MAX_ARCHIVE_BYTES, toArchive } from '../chat/archive.ts';
import type { Chats } from '../chat/chats.ts';
import type { Conversation } from '../chat/conversation.ts';
import { fileName, toMarkdown } from '../chat/markdown-file.ts';
import { counted } from '../look/format.ts';

export async function saveMarkdown(chats: Chats, conversation: Conversation): Promise<void> {
  const text = toMarkdown(conversation, await chats.messagesOf(conversation.id));
  download(fileName(conversation.title, 'md'), new Blob([text], { type: 'text/markdown' }));
}

export async function saveAll(chats: Chats): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  download(
    `conversations-${day}.json`,
    new Blob([toArchive(await chats.all(), Date.now())], { type: 'application/json' }),
  );
}

/** @returns what came of it, in words */
export async function importFile(chats: Chats, file: File): Promise<string> {
  if (file.size > MAX_ARCHIVE_BYTES) return 'The file is larger than 256 MB.';
  try {
    const { added, known } = await chats.add(fromArchive(await file.text()));
    const before = known === 0 ? '' : ` ${known} ${known === 1 ? 'was' : 'were'} here already.`;
    return `${counted(added, 'conversation')} imported.${before}`.replace(/^\w/, (first) => first.toUpperCase());
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // Safari reads it a while after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
