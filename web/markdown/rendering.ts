/** The nodes of one answer. With the parser and the sanitiser this is a chunk of its own. */
import { Blocks, mentions } from './blocks.ts';
import { frame } from './frames.ts';
import { growInto } from './growth.ts';
import { htmlOf } from './html.ts';
import { sanitise } from './sanitise.ts';

/** Of its time, a page with a long block that grows spends at most a quarter on it. */
const REST = 3;

export class Rendering {
  readonly #root: HTMLElement;
  #blocks = new Blocks();
  /** How many finished blocks have been rendered for the last time. */
  #rendered = 0;
  /** Labels that the rendered blocks know. */
  #labels = 0;
  #restUntil = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `root` is empty, and nobody else changes what is in it. */
  constructor(root: HTMLElement) {
    this.#root = root;
  }

  /** Shows the whole text so far, at once or soon. `streaming`: more of it comes. */
  show(text: string, streaming: boolean): void {
    clearTimeout(this.#timer);
    const begun = performance.now();
    if (streaming && begun < this.#restUntil) {
      this.#timer = setTimeout(() => this.show(text, streaming), this.#restUntil - begun);
      return;
    }
    this.#update(text, !streaming);
    const ended = performance.now();
    this.#restUntil = ended + REST * (ended - begun);
  }

  /** Nothing is shown later. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #update(text: string, complete: boolean): void {
    if (!this.#blocks.update(text, complete)) {
      // Another answer in the same place.
      this.#blocks = new Blocks();
      this.#rendered = 0;
      this.#labels = 0;
      this.#root.replaceChildren();
      this.#blocks.update(text, complete);
    }
    const { finished, growing, definitions } = this.#blocks;
    const added = [...definitions.keys()].slice(this.#labels);
    for (const [index, block] of added.length > 0 ? finished.slice(0, this.#rendered).entries() : []) {
      if (added.some((label) => mentions(block, label))) this.#render(index);
    }
    this.#labels = definitions.size;
    for (; this.#rendered < finished.length; this.#rendered++) this.#render(this.#rendered);
    for (const index of growing.keys()) this.#render(finished.length + index);
    while (this.#root.children.length > finished.length + growing.length) this.#root.lastElementChild?.remove();
  }

  #render(index: number): void {
    const { finished, growing, definitions } = this.#blocks;
    const block = finished[index] ?? growing[index - finished.length];
    if (block === undefined) return;
    const content = sanitise(htmlOf(block, definitions));
    frame(content);
    let place = this.#root.children[index];
    if (place === undefined) {
      place = document.createElement('div');
      this.#root.append(place);
    }
    growInto(place, content);
  }
}
