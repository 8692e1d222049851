/** A conversation as a Markdown file, for people. */
import type { Answer, Conversation, Message, Question } from './conversation.ts';
import { splitThinking } from './thinking.ts';

export function toMarkdown({ title, system, createdAt }: Conversation, messages: readonly Message[]): string {
  const head = [`# ${title}`, new Date(createdAt).toISOString().slice(0, 10)];
  if (system.trim() !== '') head.push(quoted(`System: ${system.trim()}`));
  const said = messages.map((message) => (message.role === 'user' ? question(message) : answer(message)));
  return `${[...head, ...said].join('\n\n')}\n`;
}

/** For the file system of any device. */
export function fileName(title: string, extension: string): string {
  const name = title
    .normalize('NFC')
    .replace(/[^\p{L}\p{N} ._-]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .replace(/^[. ]+|[. ]+$/g, '');
  return `${name === '' ? 'conversation' : name}.${extension}`;
}

function question({ text, attachments }: Question): string {
  const files = attachments.map(({ kind, name }) => `*${kind === 'image' ? 'Image' : 'Recording'}: ${name}*`);
  return ['## You', ...(text === '' ? [] : [text]), ...files].join('\n\n');
}

function answer({ text, model, state }: Answer): string {
  const { text: said } = splitThinking(text);
  const end = state === 'done' || state === 'running' ? [] : ['*The answer ended early.*'];
  return [`## ${model === '' ? 'Model' : model}`, ...(said === '' ? [] : [said.trim()]), ...end].join('\n\n');
}

function quoted(text: string): string {
  return text
    .split('\n')
    .map((line) => `> ${line}`)
    .join('\n');
}
