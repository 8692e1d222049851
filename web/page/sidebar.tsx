/** The conversations of this device: beside the chat where there is room, a drawer on a phone. */
import type { RefObject, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Conversation } from '../chat/conversation.ts';
import type { Found } from '../chat/search.ts';
import { ConversationItem } from './conversation-item.tsx';
import { Icon, type IconName } from './icons.tsx';
import type { Theme } from './theme.ts';

/** People type in bursts; every search reads all that was ever said. */
const SEARCH_AFTER_MS = 150;
const THEMES: Record<Theme, { icon: IconName; label: string }> = {
  system: { icon: 'system', label: 'Colours as the system has them' },
  light: { icon: 'light', label: 'Light colours' },
  dark: { icon: 'dark', label: 'Dark colours' },
};

export interface SidebarProps {
  open: boolean;
  conversations: readonly Conversation[];
  /** Id of the open one. */
  current: string;
  theme: Theme;
  searchField: RefObject<HTMLInputElement | null>;
  search: (query: string) => Promise<Found[]>;
  onClose: () => void;
  onNew: () => void;
  onOpen: (id: string) => void;
  onRename: (id: string, title: string) => void;
  onMarkdown: (conversation: Conversation) => void;
  onRemove: (conversation: Conversation) => void;
  onExport: () => void;
  onImport: (file: File) => void;
  onTheme: () => void;
}

export function Sidebar(props: SidebarProps): VNode {
  const { open, conversations, current, theme, searchField } = props;
  const [query, setQuery] = useState('');
  const found = useFound(query, conversations, props.search);
  const { icon, label } = THEMES[theme];
  const clear = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || query === '') return;
    // It is about the search, and stops no answer.
    event.stopPropagation();
    setQuery('');
  };
  return (
    <aside id="sidebar" class="sidebar" aria-label="Conversations" inert={!open}>
      <div class="sidebar-head">
        <button type="button" class="button quiet small new-chat" data-testid="new-chat" onClick={props.onNew}>
          <Icon name="compose" size={18} />
          New chat
        </button>
        <button type="button" class="icon-button sidebar-close" aria-label="Close the list" onClick={props.onClose}>
          <Icon name="close" />
        </button>
      </div>
      <label class="search">
        <Icon name="search" size={17} />
        <span class="visually-hidden">Search all conversations</span>
        <input
          ref={searchField}
          type="search"
          data-testid="search"
          placeholder="Search"
          value={query}
          onInput={({ currentTarget }) => setQuery(currentTarget.value)}
          onKeyDown={clear}
        />
        <kbd class="search-key">Ctrl K</kbd>
      </label>
      <ul class="conversations" data-testid="conversations" aria-label="Conversations">
        {found.map(({ conversation, excerpt }) => (
          <ConversationItem
            key={conversation.id}
            conversation={conversation}
            excerpt={excerpt}
            current={conversation.id === current}
            onOpen={props.onOpen}
            onRename={props.onRename}
            onMarkdown={props.onMarkdown}
            onRemove={props.onRemove}
          />
        ))}
      </ul>
      {found.length === 0 && (
        <p class="sidebar-empty">
          {query.trim() === '' ? 'What you write is kept here, on this device only.' : 'Nothing was found.'}
        </p>
      )}
      <div class="sidebar-foot">
        <ImportButton onImport={props.onImport} />
        <button
          type="button"
          class="foot-button"
          data-testid="export"
          disabled={conversations.length === 0}
          title="Save all conversations as a file"
          onClick={props.onExport}
        >
          <Icon name="export" size={18} />
          Export
        </button>
        <button
          type="button"
          class="icon-button foot-theme"
          data-testid="theme"
          aria-label={`${label}. Change`}
          title={label}
          onClick={props.onTheme}
        >
          <Icon name={icon} />
        </button>
      </div>
    </aside>
  );
}

function useFound(
  query: string,
  conversations: readonly Conversation[],
  search: (query: string) => Promise<Found[]>,
): readonly Found[] {
  const [found, setFound] = useState<{ query: string; found: readonly Found[] }>();
  useEffect(() => {
    if (query.trim() === '') return setFound(undefined);
    let over = false;
    const timer = setTimeout(() => {
      void search(query).then((result) => over || setFound({ query, found: result }));
    }, SEARCH_AFTER_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [query, conversations, search]);
  if (query.trim() === '' || found === undefined) return conversations.map((conversation) => ({ conversation }));
  return found.found;
}

function ImportButton({ onImport }: { onImport: (file: File) => void }): VNode {
  const field = useRef<HTMLInputElement>(null);
  const chosen = () => {
    const file = field.current?.files?.[0];
    if (field.current === null || file === undefined) return;
    // The same file again is a change, too.
    field.current.value = '';
    onImport(file);
  };
  return (
    <>
      <button
        type="button"
        class="foot-button"
        title="Add the conversations of a file"
        onClick={() => field.current?.click()}
      >
        <Icon name="import" size={18} />
        Import
      </button>
      <input
        ref={field}
        type="file"
        hidden
        accept="application/json,.json"
        aria-label="A file of conversations"
        data-testid="import"
        onChange={chosen}
      />
    </>
  );
}
