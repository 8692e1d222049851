/** Asks for the link or the token when there is none, or when the edge refused it. */
import { type Access, accessFromFragment, accessFromInput } from './access.ts';
import { element } from './element.ts';

/** Opens the form; resolves with what the person entered. `problem` is shown above the fields. */
export function askForAccess(known: Partial<Access>, problem?: string): Promise<Access> {
  const dialog = element('access', HTMLDialogElement);
  const form = element('access-form', HTMLFormElement);
  const token = element('access-token', HTMLInputElement);
  const host = element('access-host', HTMLInputElement);
  const error = element('access-error', HTMLParagraphElement);
  const { promise, resolve } = Promise.withResolvers<Access>();
  const done = new AbortController();
  const { signal } = done;

  error.hidden = problem === undefined;
  error.textContent = problem ?? '';
  token.value = '';
  host.value = known.host ?? '';
  // Nothing lies behind the form that Escape could lead to.
  dialog.addEventListener('cancel', (event) => event.preventDefault(), { signal });
  token.addEventListener(
    'input',
    () => {
      const mark = token.value.indexOf('#');
      const pasted = mark < 0 ? undefined : accessFromFragment(token.value.slice(mark));
      if (pasted === undefined) return;
      host.value = pasted.host;
      token.value = pasted.token;
    },
    { signal },
  );
  form.addEventListener(
    'submit',
    (event) => {
      event.preventDefault();
      const access = accessFromInput(token.value, host.value);
      if (access === undefined) return;
      done.abort();
      dialog.close();
      resolve(access);
    },
    { signal },
  );
  if (!dialog.open) dialog.showModal();
  token.focus();
  return promise;
}
