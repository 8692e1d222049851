/**
 * `fetch` of the undici that the agent brings along for its upstreams. Node has one of its own inside, the same but for
 * our patches, and a process that uses both pays for both: 15 MB.
 */
export const agentFetch: typeof fetch = async (input, init) => {
  const { fetch } = await import('./undici.ts');
  // One implementation, whose types are written down twice.
  return (await fetch(input as string, init as Parameters<typeof fetch>[1])) as unknown as Response;
};
