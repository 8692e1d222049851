/** Writes to the clipboard. Rejects where the page may not, and over plain HTTP, where there is none. */
export async function toClipboard(text: string): Promise<void> {
  const { clipboard } = navigator as Partial<Navigator>;
  if (clipboard === undefined) throw new Error('there is no clipboard');
  await clipboard.writeText(text);
}
