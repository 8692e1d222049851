import { describe, expect, test } from 'vitest';
import { type Client, connect } from './connect.ts';
import type { ClientEnvironment } from './environment.ts';
import { TestEdge } from './test-edge.ts';
import { ORIGIN } from './test-host.ts';

type Part = 'sessionParts' | 'relay' | 'polling';

/** A client whose `part` does not come the first `failures` times. */
function without(edge: TestEdge, part: Part, failures: number, more: Partial<ClientEnvironment> = {}): Client {
  let left = failures;
  const load = edge.environment[part] as () => Promise<never>;
  const later = { [part]: () => (left-- > 0 ? Promise.reject(new TypeError('no such file')) : load()) };
  return connect({
    url: ORIGIN,
    host: 'home',
    credentials: 'cookie',
    environment: { ...edge.environment, ...more, ...later },
  });
}

describe('a file that comes later', () => {
  test('leaves requests to the tunnel when it is the session layer, and is asked for again', async () => {
    const edge = new TestEdge();
    const client = without(edge, 'sessionParts', 3);
    const response = client.fetch('/v1/x');
    await edge.clock.advance(10_000);
    expect((await response).status).toBe(200);
    await edge.clock.advance(60_000);
    expect(['direct', 'relay']).toContain(client.path);
    client.close();
  });

  test('costs the relay only when it is the relay’s, until it comes', async () => {
    const edge = new TestEdge();
    const client = without(edge, 'relay', 3);
    await edge.clock.advance(300);
    expect([client.path, edge.relays.length]).toEqual(['direct', 0]);
    await edge.clock.advance(60_000);
    expect(edge.relays.length).toBeGreaterThan(0);
    client.close();
  });

  test('ends the attempt when it is for polling, and the next one polls', async () => {
    const edge = new TestEdge();
    const client = without(edge, 'polling', 1, { WebSocket: undefined });
    await edge.clock.advance(1_000);
    expect(client.error?.code).toBe('E_PATH_LOST');
    await edge.clock.advance(60_000);
    expect(client.path).toBe('direct');
    client.close();
  });
});
