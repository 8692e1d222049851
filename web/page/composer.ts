/** Where a person writes: Enter sends, Shift+Enter starts a line, the button stops what is running. */

export interface ComposerParts {
  form: HTMLFormElement;
  prompt: HTMLTextAreaElement;
  send: HTMLButtonElement;
  stop: HTMLButtonElement;
}

export interface ComposerEvents {
  send(text: string): void;
  stop(): void;
}

export class Composer {
  readonly #parts: ComposerParts;
  readonly #events: ComposerEvents;
  #running = false;
  #ready = false;
  /** Enter was pressed before there was a model: what was written goes out as soon as there is one. */
  #wanted = false;

  constructor(parts: ComposerParts, events: ComposerEvents) {
    this.#parts = parts;
    this.#events = events;
    const { form, prompt, stop } = parts;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    prompt.addEventListener('keydown', (event) => {
      // While an input method composes, Enter chooses a word. Safari says so by key code 229 only.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#send();
    });
    prompt.addEventListener('input', () => {
      // Whoever goes on writing has not finished.
      this.#wanted = false;
      this.#update();
    });
    stop.addEventListener('click', () => events.stop());
    this.#update();
  }

  /** Whether there is a model to send to. */
  set ready(ready: boolean) {
    this.#ready = ready;
    this.#update();
    if (ready && this.#wanted) this.#send();
  }

  /** Whether an answer is coming. */
  set running(running: boolean) {
    const { send, stop, prompt } = this.#parts;
    const had = document.activeElement === send || document.activeElement === stop;
    this.#running = running;
    send.hidden = running;
    stop.hidden = !running;
    this.#update();
    // The focused button has gone; focus must not fall to the top of the page.
    if (had) prompt.focus();
  }

  #send(): void {
    const { prompt } = this.#parts;
    const text = prompt.value.trim();
    this.#wanted = text !== '' && !this.#running && !this.#ready;
    if (text === '' || this.#running || !this.#ready) return;
    prompt.value = '';
    this.#update();
    this.#events.send(text);
  }

  #update(): void {
    const { prompt, send } = this.#parts;
    send.disabled = this.#running || !this.#ready || prompt.value.trim() === '';
    prompt.style.height = 'auto';
    prompt.style.height = `${prompt.scrollHeight}px`;
  }
}
