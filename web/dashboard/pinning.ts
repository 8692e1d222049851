/** Pins a key that came from outside the edge, and asks before it takes another one's place. */
import { warnOfChangedKey } from '../access/changed-key.ts';
import type { Visit } from './visit.ts';

/** Resolves with whether `key` is the pin now. */
export async function pin({ pins }: Visit, host: string, name: string, key: string): Promise<boolean> {
  const pinned = pins.get(host);
  if (pinned !== undefined && pinned !== key) {
    if (!(await warnOfChangedKey({ host: name, pinned, other: key, source: 'link' }))) return false;
  }
  pins.set(host, key);
  return true;
}
