/** Text fields that grow with what is written in them. */

export function fitToText(field: HTMLTextAreaElement): void {
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight}px`;
}

/** Enter without Shift. While an input method composes it chooses a word; Safari says so by key code 229 only. */
export function endsLine(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
