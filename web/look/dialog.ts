/** Questions in front of the page. */
import { errorText } from '../access/error-text.ts';
import { type Child, h } from './element.ts';

export interface DialogOptions {
  title: string;
  content: Child[];
  /** The button that does it; it runs once at a time, and the dialog stays open with the error if it fails. */
  submit?: { label: string; danger?: boolean; run?(): Promise<void> | void };
  /** The way out; undefined: there is none but `submit`. */
  cancel?: string | undefined;
  testid?: string;
  /** The question has become pointless. */
  signal?: AbortSignal;
  wide?: boolean;
}

/** Resolves with true after `submit` has succeeded, with false when the person left. */
export function openDialog(options: DialogOptions): Promise<boolean> {
  const { title, content, submit, cancel, testid } = options;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const error = h('p', { class: 'notice', role: 'alert', hidden: true });
  const leave = cancel !== undefined && h('button', { class: 'button quiet', type: 'button', click }, cancel);
  const act =
    submit !== undefined &&
    h('button', { class: submit.danger ? 'button danger' : 'button', type: 'submit' }, submit.label);
  const form = h(
    'form',
    { class: 'stack', submit: (event) => void run(event) },
    h('h2', { id: 'dialog-title' }, title),
    ...content,
    error,
    h('div', { class: 'actions' }, leave, act),
  );
  const dialog = h(
    'dialog',
    { class: options.wide ? 'dialog wide' : 'dialog', 'aria-labelledby': 'dialog-title', 'data-testid': testid },
    form,
  );
  let busy = false;
  let done = false;

  function click(): void {
    if (!busy) dialog.close();
  }

  async function run(event: Event): Promise<void> {
    event.preventDefault();
    if (busy || submit === undefined) return;
    busy = true;
    error.hidden = true;
    form.setAttribute('aria-busy', 'true');
    try {
      await submit.run?.();
      done = true;
      dialog.close();
    } catch (thrown) {
      const { message, hint } = errorText(thrown);
      error.textContent = hint === undefined ? message : `${message} ${hint}`;
      error.hidden = false;
    } finally {
      busy = false;
      form.removeAttribute('aria-busy');
    }
  }

  dialog.addEventListener('cancel', (event) => {
    if (busy || cancel === undefined) event.preventDefault();
  });
  const close = () => dialog.close();
  options.signal?.addEventListener('abort', close);
  dialog.addEventListener('close', () => {
    options.signal?.removeEventListener('abort', close);
    dialog.remove();
    resolve(done);
  });
  document.body.append(dialog);
  dialog.showModal();
  // Enter must not do by accident what cannot be undone.
  if (submit?.danger && leave) leave.focus();
  return promise;
}

/** Before something that cannot be undone. */
export function confirmAction(
  title: string,
  text: string,
  label: string,
  run: () => Promise<void> | void,
): Promise<boolean> {
  return openDialog({
    title,
    content: [h('p', {}, text)],
    submit: { label, danger: true, run },
    cancel: 'Cancel',
    testid: 'confirm',
  });
}
