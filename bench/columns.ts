/** The columns of `npm run bench`. */
import { settings } from '../agent/settings.ts';

export interface Column {
  name: 'plain' | 'werift' | 'native' | 'chromium' | 'relay' | 'tunnel';
  title: string;
  /** How the page asks: by `fetch`, by our client, or by a pair of pages. */
  kind: 'http' | 'client' | 'raw';
  /** Of the client, for the column. */
  path?: 'direct' | 'relay';
  /** The engine of its agent, empty where an agent has no choice; no agent otherwise. */
  engine?: string;
}

const NATIVE = 'node-datachannel';
const hasEngines = 'engine' in settings.shape;
const werift = hasEngines ? 'werift' : '';

export const COLUMNS: readonly Column[] = [
  { name: 'plain', title: 'plain HTTP', kind: 'http' },
  { name: 'werift', title: 'direct, werift', kind: 'client', path: 'direct', engine: werift },
  { name: 'native', title: 'direct, native', kind: 'client', path: 'direct', engine: NATIVE },
  { name: 'chromium', title: 'Chromium to Chromium', kind: 'raw' },
  { name: 'relay', title: 'relay', kind: 'client', path: 'relay', engine: werift },
  { name: 'tunnel', title: 'tunnel', kind: 'http', engine: werift },
];

/** Why a column cannot be measured here, or undefined. */
export function columnMissing({ name }: Column): string | undefined {
  if (name !== 'native') return undefined;
  if (!hasEngines) return 'this agent has no setting `engine`';
  try {
    import.meta.resolve(NATIVE);
    return undefined;
  } catch {
    return `${NATIVE} is not installed`;
  }
}
