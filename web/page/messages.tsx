/** The open conversation. It follows what comes, as long as the person is at its end. */
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { Message } from '../chat/conversation.ts';
import { Announcer } from './announcer.tsx';
import { AnswerView } from './answer-view.tsx';
import { Icon } from './icons.tsx';
import { QuestionView } from './question-view.tsx';
import type { Voice } from './read-aloud.tsx';
import { useFollowing } from './use-following.ts';

export interface MessagesProps {
  /** Id of the conversation. */
  conversation: string;
  title: string;
  messages: readonly Message[];
  loaded: boolean;
  ready: boolean;
  /** Id of the question that is being written anew. */
  editing: string | undefined;
  voice: Voice | undefined;
  onEdit: (id: string | undefined) => void;
  onAsk: (id: string, text: string) => void;
  onRegenerate: (id: string) => void;
}

export function Messages(props: MessagesProps): VNode {
  const { conversation, title, messages, loaded } = props;
  const questions = messages.filter(({ role }) => role === 'user').length;
  const { list, following, follow } = useFollowing(`${conversation} ${questions}`);
  return (
    <main>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by keys */}
      <section id="messages" class="messages" ref={list} aria-label="Conversation" tabIndex={0}>
        <div class="messages-column">
          {messages.length === 0 && loaded ? <Welcome /> : <h1 class="visually-hidden">{title}</h1>}
          {messages.map((message, index) => (
            <Row key={message.id} message={message} last={index === messages.length - 1} {...props} />
          ))}
        </div>
      </section>
      <button
        type="button"
        class="jump"
        data-testid="jump"
        aria-label="To the latest"
        title="To the latest"
        hidden={following}
        onClick={follow}
      >
        <Icon name="down" />
      </button>
      <Announcer conversation={conversation} messages={messages} />
    </main>
  );
}

function Welcome(): VNode {
  return (
    <section id="welcome" class="welcome">
      <h1>Your own model, from anywhere</h1>
      <p>What you write goes to the machine at home. When the bolt shows, nothing lies between.</p>
    </section>
  );
}

interface RowProps extends MessagesProps {
  message: Message;
  last: boolean;
}

/** Rendered again only when something of it has changed: conversations are long, and every token comes by here. */
function Row({ message, last, ready, editing, voice, onEdit, onAsk, onRegenerate }: RowProps): VNode {
  const isEdited = editing === message.id;
  return useMemo(
    () =>
      message.role === 'user' ? (
        <QuestionView question={message} editing={isEdited} ready={ready} onEdit={onEdit} onAsk={onAsk} />
      ) : (
        <AnswerView answer={message} last={last} ready={ready} voice={voice} onRegenerate={onRegenerate} />
      ),
    [message, last, ready, isEdited, voice, onEdit, onAsk, onRegenerate],
  );
}
