/** Ends after `ms`, or when one of `signals` aborts. Leaves no timer and no listener behind. */
export async function pause(ms: number, ...signals: AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, ms);
  for (const signal of signals) {
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
  }
  await promise;
  clearTimeout(timer);
  for (const signal of signals) signal.removeEventListener('abort', end);
}
