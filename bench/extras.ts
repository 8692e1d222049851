/** Tables of `npm run bench` besides the main one. */
import type { Column } from './columns.ts';
import type { Condition, Place } from './place.ts';

export interface ExtraContext {
  place: Place;
  columns: readonly Column[];
  runs: number;
  seconds: number;
}

export interface Extra {
  /** For `--rows`. */
  name: string;
  title: string;
  has(condition: Condition): boolean;
  measure(context: ExtraContext): Promise<{ text: string; data: unknown }>;
}
