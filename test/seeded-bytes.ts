/** Bytes as good as random that a seed gives again, so that no two places in a long transfer are alike. */
import { createCipheriv, createHash } from 'node:crypto';

/** What the fake LLM's `bytes?n=&seed=` sends. */
export function* seededBytes(seed: string, count: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(seed).digest(), Buffer.alloc(16));
  const zeros = Buffer.alloc(65_536);
  for (let made = 0; made < count; made += zeros.length) {
    yield cipher.update(zeros.subarray(0, Math.min(zeros.length, count - made)));
  }
}

/** SHA-256 of `seededBytes(seed, count)` in hex, for transfers that are too long to hold. */
export function seededSha256(seed: string, count: number): string {
  const hash = createHash('sha256');
  for (const chunk of seededBytes(seed, count)) hash.update(chunk);
  return hash.digest('hex');
}
