/** The chat page. */
import type { VNode } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { IceStatus } from '../../shared/account-api.ts';
import type { Chats } from '../chat/chats.ts';
import type { Attachment, Conversation } from '../chat/conversation.ts';
import { Composer } from './composer.tsx';
import { Header } from './header.tsx';
import { laterPart } from './later-part.ts';
import { Messages } from './messages.tsx';
import { type Notices, NoticeView, noticeOf } from './notices.tsx';
import type { PageStore } from './page-state.ts';
import type { SettingsDialog } from './settings-dialog.tsx';
import { Sidebar } from './sidebar.tsx';
import { StatusLine } from './status-line.tsx';
import { applyTheme, nextTheme, storedTheme } from './theme.ts';
import { useAudio } from './use-audio.ts';
import { useDrop } from './use-drop.ts';
import { useFiles } from './use-files.ts';
import { useKeys } from './use-keys.ts';
import { useModel } from './use-model.ts';
import { useSidebar } from './use-sidebar.ts';
import { useStateOf } from './use-state-of.ts';
import type { Visit } from './visit.ts';

export interface AppProps {
  page: PageStore;
  chats: Chats;
  visit: Visit;
  notices: Notices;
  /** That this browser expects of the host. */
  hostKey: () => string | undefined;
  /** Of the edge’s TURN providers. */
  ice: () => Promise<IceStatus>;
}

export function App({ page: pageStore, chats, visit, notices, hostKey, ice }: AppProps): VNode {
  const page = useStateOf(pageStore);
  const { conversations, current, messages, loaded } = useStateOf(chats);
  const [editing, setEditing] = useState<string>();
  const [Settings, setSettings] = useState<typeof SettingsDialog>();
  const [theme, setTheme] = useState(storedTheme);
  const sidebar = useSidebar();
  const searchField = useRef<HTMLInputElement>(null);
  const { model, choose } = useModel(page, current);
  const say = useCallback((problem: unknown) => notices.show(noticeOf(problem)), [notices]);
  const files = useFiles(say);
  const drop = useDrop(files.add);
  const { voice, dictation } = useAudio(page, say);

  const running = messages.some((message) => message.role === 'assistant' && message.state === 'running');
  const last = messages.findLast(({ role }) => role === 'user');
  const { system, parameters } = current;
  const adjusted = system !== '' || Object.keys(parameters).length > 0;

  useEffect(() => {
    document.title = current.title === '' ? 'direct-agent' : `${current.title} – direct-agent`;
  }, [current.title]);
  useEffect(() => applyTheme(theme), [theme]);
  useEffect(() => setEditing(undefined), [current.id]);

  const begin = () => {
    chats.begin();
    sidebar.leave();
  };
  useKeys({
    search: () => {
      sidebar.show();
      const take = () => {
        searchField.current?.focus();
        searchField.current?.select();
      };
      take();
      // It cannot be focused before it is shown; where it is, the next key is meant for it.
      if (document.activeElement !== searchField.current) setTimeout(take);
    },
    begin,
    escape: () => {
      if (sidebar.drawer) sidebar.hide();
      else if (running) chats.stop();
    },
  });

  const ask = useCallback(
    (id: string, text: string) => {
      void chats.edit(id, text, model);
      // The editor is gone, and so is the question that it was for.
      document.getElementById('prompt')?.focus();
    },
    [chats, model],
  );
  const regenerate = useCallback((id: string) => void chats.regenerate(id, model), [chats, model]);
  const search = useCallback((query: string) => chats.search(query), [chats]);
  const send = (text: string, attachments: readonly Attachment[]) => void chats.send(text, attachments, model);
  // What is not needed at every visit is loaded when it is; offline it may not be there.
  const withFiles = (use: (files: typeof import('./files.ts')) => Promise<unknown>) =>
    void laterPart(() => import('./files.ts'))
      .then(use)
      .catch(say);
  const showSettings = () =>
    void laterPart(() => import('./settings-dialog.tsx')).then(
      ({ SettingsDialog: loaded }) => setSettings(() => loaded),
      say,
    );
  const remove = async (conversation: Conversation) => {
    const undo = await chats.remove(conversation.id);
    // The menu that had the focus goes with it.
    document.querySelector<HTMLElement>('.sidebar .new-chat')?.focus();
    notices.show({ text: `“${conversation.title}” is deleted.`, action: { label: 'Undo', run: () => void undo() } });
  };

  return (
    <div class={`app${sidebar.open ? ' with-sidebar' : ''}`} {...drop.handlers}>
      <Sidebar
        open={sidebar.open}
        conversations={conversations}
        current={current.id}
        theme={theme}
        searchField={searchField}
        search={search}
        onClose={sidebar.hide}
        onNew={begin}
        onOpen={(id) => {
          void chats.open(id);
          sidebar.leave();
        }}
        onRename={(id, title) => void chats.change(id, { title })}
        onMarkdown={(conversation) => withFiles(({ saveMarkdown }) => saveMarkdown(chats, conversation))}
        onRemove={(conversation) => void remove(conversation)}
        onExport={() => withFiles(({ saveAll }) => saveAll(chats))}
        onImport={(file) => withFiles(({ importFile }) => importFile(chats, file).then(say))}
        onTheme={() => setTheme(nextTheme)}
      />
      {sidebar.drawer && (
        <button type="button" class="backdrop" aria-label="Close the list" tabIndex={-1} onClick={sidebar.hide} />
      )}
      <div class={`page${drop.over ? ' drop' : ''}`} inert={sidebar.drawer}>
        <Header
          page={page}
          model={model}
          hostKey={hostKey}
          sidebarOpen={sidebar.open}
          onSidebar={sidebar.toggle}
          onHost={(id) => visit.switchTo(id)}
          onModel={(id) => {
            choose(id);
            void chats.change(current.id, { model: id });
          }}
          onNew={begin}
          onReconnect={(forced) => visit.reconnect(forced)}
          ice={ice}
          onWebUi={() => void visit.openWebUi()}
          onSignOut={() => void visit.signOut()}
        />
        <Messages
          conversation={current.id}
          title={current.title}
          messages={messages}
          loaded={loaded}
          ready={page.ready}
          editing={editing}
          voice={voice}
          onEdit={setEditing}
          onAsk={ask}
          onRegenerate={regenerate}
        />
        <StatusLine status={page.status} />
        <Composer
          ready={page.ready && loaded}
          running={running}
          adjusted={adjusted}
          files={files}
          dictation={dictation}
          onSend={send}
          onStop={() => chats.stop()}
          onSettings={showSettings}
          onUp={() => last !== undefined && setEditing(last.id)}
        />
      </div>
      {Settings !== undefined && (
        <Settings
          conversation={current}
          onSave={(fields) => void chats.change(current.id, fields)}
          onClose={() => setSettings(undefined)}
        />
      )}
      <NoticeView notices={notices} />
    </div>
  );
}
