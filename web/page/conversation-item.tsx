/** One conversation in the list: opens it, renames it, saves it as a file, deletes it. */
import type { VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Conversation } from '../chat/conversation.ts';
import { Menu, MenuButton } from './menu.tsx';
import { useReturn } from './use-return.ts';

export interface ConversationItemProps {
  conversation: Conversation;
  /** Where the words that are looked for stand. */
  excerpt: string | undefined;
  current: boolean;
  onOpen: (id: string) => void;
  onRename: (id: string, title: string) => void;
  onMarkdown: (conversation: Conversation) => void;
  onRemove: (conversation: Conversation) => void;
}

export function ConversationItem(props: ConversationItemProps): VNode {
  const { conversation, excerpt, current } = props;
  const { id, title } = conversation;
  const [renaming, setRenaming] = useState(false);
  const item = useReturn<HTMLLIElement>(renaming, 'summary');
  const rename = (name: string | undefined) => {
    setRenaming(false);
    if (name !== undefined && name !== '' && name !== title) props.onRename(id, name);
  };
  if (renaming) {
    return (
      <li ref={item} class="conversation" data-testid="conversation">
        <TitleField title={title} onDone={rename} />
      </li>
    );
  }
  return (
    <li ref={item} class={current ? 'conversation current' : 'conversation'} data-testid="conversation">
      <button
        type="button"
        class="conversation-open"
        aria-current={current ? 'true' : undefined}
        title={title}
        onClick={() => props.onOpen(id)}
      >
        <span class="conversation-title">{title}</span>
        {excerpt !== undefined && <span class="conversation-excerpt">{excerpt}</span>}
      </button>
      <Menu label={`More about “${title}”`} icon="more" testid="conversation-menu">
        <MenuButton icon="rename" testid="rename" onClick={() => setRenaming(true)}>
          Rename
        </MenuButton>
        <MenuButton icon="export" testid="export-markdown" onClick={() => props.onMarkdown(conversation)}>
          Save as Markdown
        </MenuButton>
        <MenuButton icon="remove" testid="delete" danger onClick={() => props.onRemove(conversation)}>
          Delete
        </MenuButton>
      </Menu>
    </li>
  );
}

interface TitleFieldProps {
  title: string;
  /** With what was typed; undefined: as it was. */
  onDone: (title: string | undefined) => void;
}

function TitleField({ title, onDone }: TitleFieldProps): VNode {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  const key = (event: KeyboardEvent) => {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    onDone(undefined);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    onDone(field.current?.value.trim());
  };
  return (
    <form class="conversation-rename" onSubmit={submit}>
      <input
        ref={field}
        class="field"
        data-testid="rename-field"
        aria-label="Title"
        maxLength={200}
        defaultValue={title}
        onKeyDown={key}
        onBlur={submit}
      />
    </form>
  );
}
