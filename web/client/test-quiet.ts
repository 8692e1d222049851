/** For tests: waits for WebCrypto, which works in threads that no simulated clock knows. */
import { createHook } from 'node:async_hooks';

/** What Node calls its work on other threads that WebCrypto is made of. */
const CRYPTO = new Set(['CIPHERREQUEST', 'DERIVEBITSREQUEST', 'HASHREQUEST', 'KEYPAIRGENREQUEST', 'SIGNREQUEST']);

const running = new Set<number>();
let begun = 0;

createHook({
  init: (id, type) => {
    if (!CRYPTO.has(type)) return;
    begun += 1;
    running.add(id);
  },
  after: (id) => void running.delete(id),
  destroy: (id) => void running.delete(id),
}).enable();

/** Until nothing is left to do but to wait for a timer: promises, and encryption. */
export async function quiet(): Promise<void> {
  for (let before = -1; before !== begun || running.size > 0; ) {
    before = begun;
    for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
