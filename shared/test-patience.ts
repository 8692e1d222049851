/** For `vi.waitFor` and `vi.waitUntil`: by itself Vitest waits for a second, which a busy machine may need. */
export const PATIENCE = { timeout: 20_000 };
