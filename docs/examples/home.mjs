/** What the examples have in common: who to talk to, from the environment, and a connection to it. */
import { connect } from 'direct-agent/client';

/** DIRECT_EDGE, DIRECT_HOST and DIRECT_KEY; DIRECT_HOST_KEY if you have it. The arguments are model and prompt. */
export function home() {
  const { DIRECT_EDGE: url, DIRECT_HOST: host, DIRECT_KEY: token, DIRECT_HOST_KEY: hostKey } = process.env;
  const [model, prompt = 'Say hello.'] = process.argv.slice(2);
  if (!url || !host || !token || !model) {
    console.error('Usage: DIRECT_EDGE=https://… DIRECT_HOST=home DIRECT_KEY=dak_… node <example> <model> [<prompt>]');
    process.exit(2);
  }
  const client = connect({ url, host, token, ...(hostKey ? { hostKey } : {}) });
  return { client, model, prompt };
}

/**
 * Waits for the direct path, for thirty seconds at most. Programs need not do that: requests may be made at once, and move
 * there when it opens. Here it makes the line at the end say where the answer came by.
 */
export async function direct(client) {
  for (let i = 0; i < 300 && client.path !== 'direct'; i++) await new Promise((resolve) => setTimeout(resolve, 100));
}
