import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { AgentReport } from './agent-report.ts';
import { CommandError } from './command-error.ts';
import { Meter } from './meter.ts';
import { metricsText, openMetrics, upstreamLabel } from './metrics.ts';
import { metricsAddress } from './metrics-address.ts';
import { EXAMPLE_REPORT } from './test-report.ts';

vi.setConfig({ testTimeout: 60_000 });

const OWN = {
  cpuSeconds: 1.5,
  residentBytes: 60_000_000,
  openFiles: 30,
  startedAt: 1_790_000_000.25,
  lagSeconds: 0.001,
  activeSeconds: 2,
};

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

function busyMeter(): Meter {
  const clock = { time: 0, now: () => clock.time, wallClock: () => clock.time };
  const meter = new Meter(clock);
  meter.opened('direct', 120);
  meter.opened('direct', 700);
  meter.opened('turn', 60_000);
  meter.failed('connection', 'E_HANDSHAKE_TIMEOUT');
  const answered = meter.request({});
  answered.asked('Ollama');
  clock.time += 80;
  answered.answered('text/event-stream');
  answered.passed(Buffer.from('data: a\n\ndata: b\n\n'));
  answered.sent(20);
  answered.received(7);
  answered.ended(undefined);
  meter.request({}).ended('E_UPSTREAM_FAILED');
  meter.request({}).ended('E_CANCELLED');
  return meter;
}

interface Family {
  type: string;
  help: string;
  samples: Map<string, number>;
}

/** As strict as the format's description: every line is known, every family is in one piece, no sample comes twice. */
function parse(text: string): Map<string, Family> {
  expect(text.endsWith('\n')).toBe(true);
  const families = new Map<string, Family>();
  let name = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\]|\\\\|\\n)+)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/.exec(line);
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$/.exec(line);
    if (help !== null) {
      name = help[1] ?? '';
      expect(families.has(name), line).toBe(false);
      families.set(name, { type: '', help: help[2] ?? '', samples: new Map() });
    } else if (type !== null) {
      const family = families.get(type[1] ?? '');
      expect([type[1], family?.type, family?.samples.size], line).toEqual([name, '', 0]);
      if (family !== undefined) family.type = type[2] ?? '';
    } else if (sample !== null) {
      const [, of = '', labels = '', value] = sample;
      const family = families.get(name);
      expect(of.replace(/_(bucket|sum|count)$/, family?.type === 'histogram' ? '' : '$&'), line).toBe(name);
      expect(labels, line).toMatch(/^(\{([a-z_]+="([^"\\]|\\\\|\\"|\\n)*")(,[a-z_]+="([^"\\]|\\\\|\\"|\\n)*")*\})?$/);
      expect(family?.samples.has(of + labels), line).toBe(false);
      expect(Number.isFinite(Number(value)), line).toBe(true);
      family?.samples.set(of + labels, Number(value));
    } else expect.unreachable(`no line of the format: ${line}`);
  }
  return families;
}

describe('the metrics', () => {
  const families = parse(metricsText(busyMeter(), EXAMPLE_REPORT, OWN));
  const value = (name: string, labels = '') =>
    families.get(name.replace(/_(bucket|sum|count)$/, ''))?.samples.get(name + labels) ??
    families.get(name)?.samples.get(name + labels);

  test('say what was counted', () => {
    expect(value('direct_agent_connections_total', '{path="direct"}')).toBe(2);
    expect(value('direct_agent_connections_total', '{path="relay"}')).toBe(0);
    expect(value('direct_agent_connection_open_seconds_bucket', '{path="direct",le="0.5"}')).toBe(1);
    expect(value('direct_agent_connection_open_seconds_bucket', '{path="direct",le="+Inf"}')).toBe(2);
    expect(value('direct_agent_connection_open_seconds_bucket', '{path="turn",le="30"}')).toBe(0);
    expect(value('direct_agent_connection_open_seconds_sum', '{path="turn"}')).toBe(60);
    expect(value('direct_agent_failures_total', '{of="connection",code="E_HANDSHAKE_TIMEOUT"}')).toBe(1);
    expect(value('direct_agent_failures_total', '{of="request",code="E_UPSTREAM_FAILED"}')).toBe(1);
    expect(value('direct_agent_requests_total', '{outcome="cancelled"}')).toBe(1);
    expect(value('direct_agent_body_bytes_total', '{direction="sent"}')).toBe(20);
    expect(value('direct_agent_body_bytes_total', '{direction="received"}')).toBe(7);
    expect(value('direct_agent_first_byte_seconds_bucket', '{upstream="Ollama",le="0.1"}')).toBe(1);
    expect(value('direct_agent_tokens_total')).toBe(2);
    expect(value('direct_agent_sessions', '{path="none"}')).toBe(1);
    expect(value('direct_agent_streams')).toBe(4);
    expect(value('direct_agent_upstream_up', '{upstream="llama.cpp"}')).toBe(0);
    expect(value('direct_agent_upstream_requests', '{upstream="Ollama",state="waiting"}')).toBe(1);
    expect(value('direct_agent_link_up')).toBe(1);
    expect(value('process_resident_memory_bytes')).toBe(60_000_000);
  });

  test('follow the conventions of names', () => {
    for (const [name, { type, help }] of families) {
      expect(name, name).toMatch(/^(direct_agent|process|nodejs)_[a-z0-9_]+$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(help, name).toMatch(/\.$/);
    }
  });

  test('histograms grow from bound to bound', () => {
    for (const [name, { type, samples }] of families) {
      if (type !== 'histogram') continue;
      let [before, bound, labels] = [0, 0, ''];
      for (const [key, count] of samples) {
        const [, of, le] = /^\w+_bucket\{(.*,)le="(.*)"\}$/.exec(key) ?? [];
        if (of === undefined) continue;
        if (of !== labels) [before, bound, labels] = [0, 0, of];
        expect(count, `${name} ${key}`).toBeGreaterThanOrEqual(before);
        const limit = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le);
        expect(limit).toBeGreaterThan(bound);
        [before, bound] = [count, limit];
      }
    }
  });

  test('names of upstreams are text, whatever they are, and differ', () => {
    const name = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('a"b', 'a\\', 'a\nb', 'x', 'x'));
    fc.assert(
      fc.property(fc.array(name, { maxLength: 6 }), (names) => {
        const upstreams: AgentReport['upstreams'] = names.map((name, i) => {
          const url = `http://127.0.0.1:${i}`;
          return { kind: 'openai', name: name.slice(0, 40), url, models: [], state: 'up', running: 0, waiting: 0 };
        });
        const samples = parse(metricsText(new Meter(), { ...EXAMPLE_REPORT, upstreams }, OWN)).get(
          'direct_agent_upstream_up',
        )?.samples;
        expect(samples?.size).toBe(names.length);
      }),
    );
    const twins = [1, 2].map((port) => ({ name: 'Ollama', url: `http://127.0.0.1:${port}` }));
    expect(upstreamLabel(twins, 'http://127.0.0.1:2')).toBe('http://127.0.0.1:2 Ollama');
    expect(upstreamLabel(twins.slice(1), 'http://127.0.0.1:2')).toBe('Ollama');
  });

  const python = '/usr/bin/python3';
  const parser = 'from prometheus_client.parser import text_string_to_metric_families as parse';
  const missing = spawnSync(python, ['-c', parser]).status === 0 ? '' : 'Debian’s python3-prometheus-client is missing';
  test.skipIf(missing !== '')(`are understood by Prometheus’ own library for Python (${missing || 'real'})`, () => {
    const code = `${parser}
import json, sys
print(json.dumps([[s.name, s.labels, s.value] for f in parse(sys.stdin.read()) for s in f.samples]))`;
    const upstreams = EXAMPLE_REPORT.upstreams.map((one, i) => ({ ...one, name: `"odd\\ ${i}` }));
    const input = metricsText(busyMeter(), { ...EXAMPLE_REPORT, upstreams }, OWN);
    const { stdout, stderr } = spawnSync(python, ['-c', code], { input, encoding: 'utf8' });
    expect(stderr).toBe('');
    const samples: [string, Record<string, string>, number][] = JSON.parse(stdout);
    expect(samples).toContainEqual(['direct_agent_connections_total', { path: 'direct' }, 2]);
    expect(samples).toContainEqual(['direct_agent_upstream_up', { upstream: '"odd\\ 1' }, 0]);
    const expected = [...parse(input).values()].reduce((sum, { samples }) => sum + samples.size, 0);
    expect(samples.length).toBe(expected);
  });
});

describe('the server', () => {
  async function open() {
    const port = await freePort();
    const server = await openMetrics({ host: '127.0.0.1', port });
    endings.push(() => server.close());
    const ask = async (path: string, { host = `localhost:${port}`, method = 'GET' } = {}) => {
      const asked = request({ port, path, method, headers: { host } });
      asked.end();
      const [response] = await once(asked, 'response');
      let text = '';
      for await (const part of response) text += part;
      return { status: response.statusCode, type: response.headers['content-type'], text };
    };
    return { port, server, ask };
  }

  test('shows metrics at one path, once there are some', async () => {
    const { server, ask } = await open();
    expect((await ask('/metrics')).status).toBe(503);
    server.show({ meter: busyMeter(), report: () => EXAMPLE_REPORT });
    const { status, type, text } = await ask('/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    const lag = parse(text).get('nodejs_eventloop_lag_seconds')?.samples.get('nodejs_eventloop_lag_seconds');
    expect(lag).toBeGreaterThanOrEqual(0);
    expect((await ask('/')).status).toBe(404);
    expect((await ask('/metrics', { method: 'POST' })).status).toBe(405);
  });

  test('answers pages that call themselves localhost only by that name', async () => {
    const { server, ask } = await open();
    server.show({ meter: new Meter(), report: () => EXAMPLE_REPORT });
    const statuses = async (...hosts: string[]) =>
      Promise.all(hosts.map(async (host) => (await ask('/metrics', { host })).status));
    expect(await statuses('localhost', '127.0.0.1:1', '[::1]:9', '127.8.8.8')).toEqual([200, 200, 200, 200]);
    expect(await statuses('evil.example', 'localhost.evil.example', 'evil.example:80', '10.0.0.1', '@')).toEqual([
      403, 403, 403, 403, 403,
    ]);
  });

  test('a port that is in use is named, with what to do', async () => {
    const { port } = await open();
    const error = await openMetrics({ host: '127.0.0.1', port }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toMatchObject({
      exitCode: 78,
      message: `metrics: 127.0.0.1:${port} is in use by another program. Name another port, or end what uses this one.`,
    });
    const foreign = await openMetrics({ host: '203.0.113.9', port }).catch((error: unknown) => error);
    expect(String(foreign)).toContain(`metrics: 203.0.113.9:${port} is no address of this machine (EADDRNOTAVAIL)`);
  });

  test('a client that says nothing keeps nobody from ending it', async () => {
    const { port, server } = await open();
    const silent = connect(port, '127.0.0.1');
    endings.push(() => silent.destroy());
    await once(silent, 'connect');
    const closed = once(silent, 'close');
    silent.resume();
    await server.close();
    await closed;
  });
});

test.each([
  [9464, { host: '127.0.0.1', port: 9464 }],
  ['9464', { host: '127.0.0.1', port: 9464 }],
  ['0.0.0.0:9464', { host: '0.0.0.0', port: 9464 }],
  ['[::1]:80', { host: '::1', port: 80 }],
  ['localhost:9464', { host: 'localhost', port: 9464 }],
])('%s is an address for metrics', (value, expected) => {
  expect(metricsAddress(value)).toEqual(expected);
});

test.each(['', 'yes', '0', 65_536, '127.0.0.1', '::1:9464', '1.2.3:9464', '[127.0.0.1]:9464', ':9464', 'http://x:1'])(
  '%j is none',
  (value) => {
    expect(() => metricsAddress(value)).toThrow(/is no address\. Write a port such as 9464/);
  },
);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
