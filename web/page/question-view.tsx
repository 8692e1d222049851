/** What a person asked, and the field in which they ask it otherwise. */
import type { VNode } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Attachment, Question } from '../chat/conversation.ts';
import { CopyButton } from './copy-button.tsx';
import { Icon } from './icons.tsx';
import { endsLine, fitToText } from './text-field.ts';
import { useReturn } from './use-return.ts';

export interface QuestionViewProps {
  question: Question;
  editing: boolean;
  /** Whether there is a model to ask. */
  ready: boolean;
  onEdit: (id: string | undefined) => void;
  /** Asks it with another text; what came after is gone then. */
  onAsk: (id: string, text: string) => void;
}

export function QuestionView({ question, editing, ready, onEdit, onAsk }: QuestionViewProps): VNode {
  const { id, text, attachments } = question;
  const place = useReturn(editing, '[data-testid="edit"]');
  return (
    <article ref={place} class="message message-user" data-testid="message-user">
      <span class="visually-hidden">You: </span>
      <Attachments attachments={attachments} />
      {editing ? (
        <Editor
          text={text}
          ready={ready}
          onCancel={() => onEdit(undefined)}
          onDone={(next) => {
            onEdit(undefined);
            onAsk(id, next);
          }}
        />
      ) : (
        text !== '' && <p class="message-text">{text}</p>
      )}
      {!editing && (
        <div class="message-actions">
          <CopyButton text={text} />
          <button
            type="button"
            class="icon-button small"
            data-testid="edit"
            aria-label="Edit"
            title="Edit and ask again"
            onClick={() => onEdit(id)}
          >
            <Icon name="edit" size={17} />
          </button>
        </div>
      )}
    </article>
  );
}

function Attachments({ attachments }: { attachments: readonly Attachment[] }): VNode | null {
  if (attachments.length === 0) return null;
  return (
    <div class="message-attachments">
      {attachments.map((attachment, index) =>
        attachment.kind === 'image' ? (
          <img key={index} src={attachment.url} alt={attachment.name} class="message-image" />
        ) : (
          <span key={index} class="file-chip">
            <Icon name="sound" size={17} />
            {attachment.name}
          </span>
        ),
      )}
    </div>
  );
}

interface EditorProps {
  text: string;
  ready: boolean;
  onCancel: () => void;
  onDone: (text: string) => void;
}

function Editor({ text, ready, onCancel, onDone }: EditorProps): VNode {
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const { current } = field;
    if (current === null) return;
    fitToText(current);
    current.focus();
    current.setSelectionRange(current.value.length, current.value.length);
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    const typed = field.current?.value.trim() ?? '';
    if (typed !== '' && ready) onDone(typed);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      onCancel();
    } else if (endsLine(event)) submit(event);
  };
  return (
    <form class="editor" onSubmit={submit}>
      <textarea
        ref={field}
        class="field"
        data-testid="edit-field"
        aria-label="Your message"
        rows={1}
        defaultValue={text}
        onInput={({ currentTarget }) => fitToText(currentTarget)}
        onKeyDown={key}
      />
      <p class="hint">What came after this message goes.</p>
      <div class="actions">
        <button type="button" class="button quiet small" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" class="button small" data-testid="edit-send" disabled={!ready}>
          Ask again
        </button>
      </div>
    </form>
  );
}
