/** One machine's time in all of its programs, finer than `Date.now()`. */

const TICKS = 5;

/**
 * Milliseconds since 1970 with fractions: `performance.now()`, set by the moments at which `Date.now()` changes. Two
 * programs on one machine agree to about 0.2 ms (browsers round `performance.now()` to 0.1). Takes some ms to make.
 */
export function wallClock(): () => number {
  let ahead = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < TICKS; i++) {
    const before = Date.now();
    let tick = before;
    while (tick === before) tick = Date.now();
    // A pause between the two can only make it smaller.
    ahead = Math.max(ahead, tick - performance.now());
  }
  return () => performance.now() + ahead;
}
