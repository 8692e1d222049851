/** What a person sets for one conversation: the system prompt and the model’s parameters. */
import type { VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Conversation } from '../chat/conversation.ts';
import {
  NUMBER_NAMES,
  NUMBERS,
  type NumberName,
  type Parameters,
  parseNumber,
  parseStops,
  stopsText,
} from '../chat/parameters.ts';

export interface SettingsDialogProps {
  conversation: Conversation;
  onSave: (settings: Pick<Conversation, 'system' | 'parameters'>) => void;
  onClose: () => void;
}

export function SettingsDialog({ conversation, onSave, onClose }: SettingsDialogProps): VNode {
  const { system, parameters } = conversation;
  const dialog = useRef<HTMLDialogElement>(null);
  const [problems, setProblems] = useState<Partial<Record<NumberName, string>>>({});
  useLayoutEffect(() => dialog.current?.showModal(), []);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const typed = new FormData(event.currentTarget);
    const { values, wrong } = read(typed);
    setProblems(wrong);
    const [first] = Object.keys(wrong);
    if (first !== undefined) return document.getElementById(`setting-${first}`)?.focus();
    onSave({ system: String(typed.get('system') ?? '').trim(), parameters: values });
    dialog.current?.close();
    return undefined;
  };
  return (
    <dialog
      ref={dialog}
      class="dialog wide"
      aria-labelledby="settings-title"
      data-testid="settings-dialog"
      onClose={onClose}
    >
      <form class="stack" onSubmit={submit} noValidate>
        <h2 id="settings-title">Settings of this chat</h2>
        <label>
          System prompt
          <textarea
            class="field"
            name="system"
            rows={4}
            data-testid="system-prompt"
            placeholder="Who the model is, and how it answers"
            defaultValue={system}
          />
        </label>
        <div class="settings-grid">
          {NUMBER_NAMES.map((name) => (
            <NumberField key={name} name={name} value={parameters[name]} problem={problems[name]} />
          ))}
        </div>
        <label>
          Stop at
          <textarea
            class="field short"
            name="stop"
            rows={2}
            data-testid="stop-texts"
            aria-describedby="stop-hint"
            defaultValue={stopsText(parameters.stop)}
          />
          <span id="stop-hint" class="hint">
            Up to four texts, each in a line of its own; \n stands for a line end
          </span>
        </label>
        <p class="hint">Empty: as the server has it.</p>
        <div class="actions">
          <button type="button" class="button quiet" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class="button" data-testid="settings-save">
            Save
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface NumberFieldProps {
  name: NumberName;
  value: number | undefined;
  problem: string | undefined;
}

function NumberField({ name, value, problem }: NumberFieldProps): VNode {
  const { label, hint, whole } = NUMBERS[name];
  return (
    <label>
      {label}
      <input
        id={`setting-${name}`}
        class="field"
        name={name}
        inputMode={whole ? 'numeric' : 'decimal'}
        autocomplete="off"
        data-testid={`setting-${name}`}
        aria-describedby={`hint-${name}`}
        aria-invalid={problem !== undefined}
        defaultValue={value === undefined ? '' : String(value)}
      />
      <span id={`hint-${name}`} class={problem === undefined ? 'hint' : 'hint wrong'}>
        {problem ?? hint}
      </span>
    </label>
  );
}

function read(typed: FormData): { values: Parameters; wrong: Partial<Record<NumberName, string>> } {
  const values: Parameters = {};
  const wrong: Partial<Record<NumberName, string>> = {};
  for (const name of NUMBER_NAMES) {
    const parsed = parseNumber(name, String(typed.get(name) ?? ''));
    if (typeof parsed === 'number') values[name] = parsed;
    else if (parsed !== undefined) wrong[name] = parsed;
  }
  const stop = parseStops(String(typed.get('stop') ?? '').replaceAll('\r\n', '\n'));
  if (stop.length > 0) values.stop = stop;
  return { values, wrong };
}
