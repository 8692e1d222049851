/** Where the agent shows its metrics. */
import { isIP } from 'node:net';
import { Mistake } from './mistake.ts';

export interface MetricsAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

export const METRICS_EXPECTED = 'a port such as 9464, or an address with one, such as 127.0.0.1:9464 or [::1]:9464';

/** A port alone is this machine's. @throws Mistake */
export function metricsAddress(value: number | string): MetricsAddress {
  const [, name = '127.0.0.1', digits = ''] =
    /^(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):)?(\d{1,5})$/.exec(`${value}`) ?? [];
  const host = name.replace(/^\[(.*)\]$/, '$1');
  const port = Number(digits);
  const isAddress = name.startsWith('[') ? isIP(host) === 6 : isIP(host) === 4 || /[A-Za-z]/.test(host);
  if (!isAddress || port < 1 || port > 65_535) throw new Mistake(`is no address. Write ${METRICS_EXPECTED}`);
  return { host, port };
}
