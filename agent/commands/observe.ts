/** Those who look at a running agent: on its own terminal, from other processes of this machine, and Prometheus. */
import type { RunningAgent } from '../agent.ts';
import type { Config } from '../config.ts';
import { startControl } from '../control.ts';
import { startLive } from '../live.ts';
import type { Log } from '../log.ts';
import type { MetricsServer } from '../metrics.ts';
import type { Context } from './context.ts';

export interface ObserveOptions {
  agent: RunningAgent;
  config: Config;
  folder: string;
  log: Log;
  metrics: MetricsServer | undefined;
}

/** For the first answer of clients that are asked for their round-trip times. */
const ROUND_TRIP_MS = 250;

export async function observe(
  context: Context,
  { agent, config, folder, log, metrics }: ObserveOptions,
): Promise<{ close(): Promise<void> }> {
  metrics?.show(agent);
  if (config.metrics !== undefined) {
    const { host, port } = config.metrics;
    log('info', `metrics: shown to Prometheus at ${host} port ${port}, /metrics`);
  }
  const control = await startControl({
    folder,
    report: async () => {
      if (agent.measure()) await new Promise((resolve) => setTimeout(resolve, ROUND_TRIP_MS));
      return agent.report();
    },
    log: (line) => log('warn', line),
  });
  // Lines for programs are no company for a view.
  const interactive = config.logFormat === 'text' ? context.terminals?.err : undefined;
  const report = () => {
    agent.measure();
    return agent.report();
  };
  // What is typed is shown between the lines, so that all of them are written anew.
  const live = interactive && startLive({ interactive, report, now: context.now, how: 'all' });
  void live?.draw();
  return {
    async close() {
      live?.stop('clear');
      await Promise.all([control.close(), metrics?.close()]);
    },
  };
}
