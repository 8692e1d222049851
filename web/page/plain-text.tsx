/** A model’s text as it is. */
import type { VNode } from 'preact';

export function PlainText({ text }: { text: string; streaming: boolean }): VNode {
  return <p class="message-text">{text}</p>;
}
