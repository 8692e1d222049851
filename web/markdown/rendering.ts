/** The nodes of one answer. With the parser and the sanitiser this is a chunk of its own. */
import { create } from '../look/element.ts';
import { Blocks, mentions } from './blocks.ts';
import { frame } from './frames.ts';
import { growInto } from './growth.ts';
import { htmlOf } from './html.ts';
import { sanitise } from './sanitise.ts';

/** Of its time, a page with a long block that grows spends at most a quarter on it. */
const REST = 3;

/** For so long the page may be deaf; an answer that takes longer, such as a stored one, appears in several steps. */
const STEP_MS = 40;

/** Blocks that are out of sight together: a browser looks at each part to know whether a person sees it. */
const PART = 40;

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
    const done = this.#update(text, !streaming, begun + STEP_MS);
    const ended = performance.now();
    this.#restUntil = ended + REST * (ended - begun);
    if (!done) this.#timer = setTimeout(() => this.show(text, streaming));
  }

  /** Nothing is shown later. */
  close(): void {
    clearTimeout(this.#timer);
  }

  /** Returns whether that is all, or only what could be done until `deadline`. */
  #update(text: string, complete: boolean, deadline: number): boolean {
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
    while (this.#rendered < finished.length) {
      // At least one in each step, however slow the device.
      this.#render(this.#rendered++);
      if (this.#rendered < finished.length && performance.now() > deadline) return false;
    }
    for (const index of growing.keys()) this.#render(finished.length + index);
    for (let index = finished.length + growing.length; this.#place(index) !== undefined; ) this.#place(index)?.remove();
    return true;
  }

  #place(index: number): Element | undefined {
    return this.#root.children[Math.floor(index / PART)]?.children[index % PART];
  }

  #addPlace(): Element {
    let part = this.#root.lastElementChild;
    if (part === null || part.childElementCount === PART) {
      part = create('div', 'markdown-part');
      this.#root.append(part);
    }
    return part.appendChild(create('div', 'markdown-block'));
  }

  #render(index: number): void {
    const { finished, growing, definitions } = this.#blocks;
    const block = finished[index] ?? growing[index - finished.length];
    if (block === undefined) return;
    const content = sanitise(htmlOf(block, definitions));
    frame(content);
    growInto(this.#place(index) ?? this.#addPlace(), content);
  }
}
