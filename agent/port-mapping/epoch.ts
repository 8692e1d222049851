/** A router that restarted has forgotten all mappings; its clock in each answer shows it. */

interface Heard {
  /** The router's clock, in seconds. */
  epoch: number;
  /** Ours, in ms. */
  at: number;
}

/** What routers said their clocks were. */
export class Epochs {
  readonly #heard = new Map<string, Heard>();

  /** @returns whether the router has lost its mappings since it was heard last. */
  hear(router: string, heard: Heard): boolean {
    const before = this.#heard.get(router);
    this.#heard.set(router, heard);
    return before !== undefined && hasRestarted(before, heard);
  }
}

/** RFC 6887, section 8.5: the clocks may differ by 1/16 and 2 s, and answers overtake one another by 1 s. */
export function hasRestarted(before: Heard, now: Heard): boolean {
  if (now.epoch < before.epoch - 1) return true;
  const [ours, theirs] = [(now.at - before.at) / 1000, now.epoch - before.epoch];
  return ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16;
}
