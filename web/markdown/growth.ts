/** A block that has grown, without the loss of what a person did to it: a selection, a scrolled table, the focus. */

/** Makes the children of `live` equal to those of `wanted`, which is used up. What is equal keeps its nodes. */
export function growInto(live: Element, wanted: DocumentFragment | Element): void {
  let old = live.firstChild;
  for (const child of [...wanted.childNodes]) {
    const next: ChildNode | null = old?.nextSibling ?? null;
    if (old === null) live.append(child);
    else if (!growNode(old, child)) old.replaceWith(child);
    old = next;
  }
  while (old !== null) {
    const next: ChildNode | null = old.nextSibling;
    old.remove();
    old = next;
  }
}

/** Whether `old` could be made equal to `wanted`. */
function growNode(old: ChildNode, wanted: ChildNode): boolean {
  if (old instanceof Text && wanted instanceof Text) {
    // Only what is new is laid out.
    if (wanted.data.startsWith(old.data)) old.appendData(wanted.data.slice(old.data.length));
    else old.data = wanted.data;
    return true;
  }
  if (!(old instanceof Element && wanted instanceof Element)) return false;
  if (old.nodeName !== wanted.nodeName || !haveSameAttributes(old, wanted)) return false;
  // Buttons are ours and say what they have just done.
  if (old.nodeName !== 'BUTTON') growInto(old, wanted);
  return true;
}

function haveSameAttributes({ attributes: some }: Element, { attributes: others }: Element): boolean {
  if (some.length !== others.length) return false;
  for (const { name, value } of some) if (others.getNamedItem(name)?.value !== value) return false;
  return true;
}
