/** Which of a browser’s tabs does something that only one may do, such as reading an answer (Web Locks API). */

export interface Locks {
  /**
   * Runs as soon as no other tab has `name`, which then is this one’s until `run` is over.
   * @throws the signal’s reason while it waits; what `run` throws
   */
  hold<Value>(name: string, signal: AbortSignal, run: () => Promise<Value>): Promise<Value>;
}

export function browserLocks(locks: LockManager | undefined): Locks {
  // Without a secure context there is none; there two tabs may both read an answer, and write the same.
  if (locks === undefined) return { hold: (_name, _signal, run) => run() };
  return { hold: (name, signal, run) => locks.request(`direct-agent.${name}`, { signal }, run) };
}
