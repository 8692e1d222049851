/** Tells screen readers that an answer comes, and reads it when it is whole: not every token by itself. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Message } from '../chat/conversation.ts';
import { splitThinking } from '../chat/thinking.ts';

export interface AnnouncerProps {
  conversation: string;
  messages: readonly Message[];
}

export function Announcer({ conversation, messages }: AnnouncerProps): VNode {
  const [said, setSaid] = useState('');
  /** The answer whose coming was announced. */
  const coming = useRef<string | undefined>(undefined);
  const last = messages.at(-1);
  const answer = last?.role === 'assistant' ? last : undefined;
  useEffect(() => {
    if (answer === undefined || answer.conversation !== conversation) return;
    if (answer.state === 'running') {
      if (coming.current !== answer.id) setSaid('The model answers…');
      coming.current = answer.id;
    } else if (coming.current === answer.id) {
      coming.current = undefined;
      // What went wrong is an alert of its own.
      setSaid(answer.state === 'failed' ? '' : splitThinking(answer.text).text);
    }
  }, [conversation, answer?.id, answer?.state]);
  return (
    <div class="visually-hidden" role="status" data-testid="announcer">
      {said}
    </div>
  );
}
