/** Where a person writes: Enter sends, Shift+Enter starts a line, the button stops what is running. */
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Attachment } from '../chat/conversation.ts';
import { AttachmentStrip } from './attachment-strip.tsx';
import { type Dictation, DictationButton } from './dictation-button.tsx';
import { Icon } from './icons.tsx';
import { endsLine, fitToText } from './text-field.ts';
import type { Files } from './use-files.ts';

const ACCEPTED = 'image/*,audio/wav,audio/x-wav,audio/mpeg,.wav,.mp3';

export interface ComposerProps {
  /** Whether there is a model to send to. */
  ready: boolean;
  /** Whether an answer is coming. */
  running: boolean;
  /** A system prompt or a parameter is set. */
  adjusted: boolean;
  files: Files;
  dictation: Dictation | undefined;
  onSend: (text: string, attachments: readonly Attachment[]) => void;
  onStop: () => void;
  onSettings: () => void;
  /** Arrow up, with nothing written: to the question before. */
  onUp: () => void;
}

export function Composer(props: ComposerProps): VNode {
  const { ready, running, files, dictation } = props;
  const prompt = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [empty, setEmpty] = useState(true);
  /** Enter was pressed before there was a model: what was written goes out as soon as there is one. */
  const wanted = useRef(false);

  const update = () => {
    if (prompt.current === null) return;
    fitToText(prompt.current);
    setEmpty(prompt.current.value.trim() === '');
  };
  // The page may have been there, and written in, before this was.
  useLayoutEffect(update, []);

  const send = () => {
    const field = prompt.current;
    if (field === null) return;
    const text = field.value.trim();
    const anything = text !== '' || files.attachments.length > 0;
    wanted.current = anything && !running && !ready;
    if (!anything || running || !ready || files.busy) return;
    field.value = '';
    update();
    files.clear();
    props.onSend(text, files.attachments);
    field.focus();
  };
  const latest = useRef(send);
  latest.current = send;
  useEffect(() => {
    if (ready && !files.busy && wanted.current) latest.current();
  }, [ready, files.busy]);

  // The focused button has gone; focus must not fall to the top of the page.
  const buttons = useRef<HTMLDivElement>(null);
  const buttonHad = useRef(false);
  if (buttons.current !== null) buttonHad.current = buttons.current.contains(document.activeElement);
  useLayoutEffect(() => {
    if (buttonHad.current) prompt.current?.focus();
  }, [running]);

  const key = (event: KeyboardEvent) => {
    const field = prompt.current;
    if (endsLine(event)) {
      event.preventDefault();
      send();
    } else if (event.key === 'ArrowUp' && field?.value === '' && !event.isComposing) {
      event.preventDefault();
      props.onUp();
    }
  };
  const insert = (text: string) => {
    const field = prompt.current;
    if (field === null || text === '') return;
    const space = field.value === '' || /\s$/.test(field.value) ? '' : ' ';
    field.setRangeText(space + text, field.selectionEnd, field.selectionEnd, 'end');
    update();
    field.focus();
  };
  const sendable = ready && !running && !files.busy && (!empty || files.attachments.length > 0);
  return (
    <form
      id="composer"
      class="composer"
      aria-label="Message"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div class="card">
        <AttachmentStrip files={files} />
        <textarea
          ref={prompt}
          id="prompt"
          data-testid="prompt"
          rows={1}
          placeholder="Write a message"
          aria-label="Your message"
          aria-describedby="keys"
          enterkeyhint="send"
          autocomplete="off"
          onInput={() => {
            // Whoever goes on writing has not finished.
            wanted.current = false;
            update();
          }}
          onKeyDown={key}
          onPaste={(event) => {
            const pasted = [...(event.clipboardData?.files ?? [])];
            if (pasted.length === 0) return;
            event.preventDefault();
            files.add(pasted);
          }}
        />
        <div class="tools">
          <button
            type="button"
            class="icon-button"
            data-testid="attach"
            aria-label="Attach images or recordings"
            title="Attach images or recordings"
            onClick={() => picker.current?.click()}
          >
            <Icon name="attach" />
          </button>
          <input
            ref={picker}
            type="file"
            hidden
            multiple
            accept={ACCEPTED}
            data-testid="files"
            aria-label="Images or recordings"
            onChange={({ currentTarget }) => {
              files.add([...(currentTarget.files ?? [])]);
              // The same file again is a change, too.
              currentTarget.value = '';
            }}
          />
          <button
            type="button"
            class={props.adjusted ? 'icon-button adjusted' : 'icon-button'}
            data-testid="settings"
            aria-label="Settings of this chat"
            title="Settings of this chat"
            onClick={props.onSettings}
          >
            <Icon name="settings" />
          </button>
          <span class="tools-gap" />
          {dictation !== undefined && <DictationButton dictation={dictation} onText={insert} />}
          <div ref={buttons}>
            <button
              id="send"
              class="round"
              type="submit"
              data-testid="send"
              aria-label="Send"
              hidden={running}
              disabled={!sendable}
            >
              <Icon name="send" />
            </button>
            <button
              id="stop"
              class="round"
              type="button"
              data-testid="stop"
              aria-label="Stop"
              hidden={!running}
              onClick={props.onStop}
            >
              <Icon name="stop" />
            </button>
          </div>
        </div>
      </div>
      <p id="keys" class="keys">
        <kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> starts a new line
      </p>
    </form>
  );
}
