/** The client's report, again whenever there is more in it. */
import { useEffect, useState } from 'preact/hooks';
import type { Client, ConnectionReport } from '../client/index.ts';

/** Events come many at a time. */
const AFTER_MS = 150;
/** What was measured ages by itself: statistics, and credentials. */
const EVERY_MS = 5_000;

/** Undefined until the first one is there. That of the client before stays until there is another one. */
export function useReport(client: Client): ConnectionReport | undefined {
  const [report, setReport] = useState<ConnectionReport>();
  useEffect(() => {
    let isOver = false;
    let timer: number | undefined;
    const look = async () => {
      timer = undefined;
      const next = await client.report();
      if (!isOver) setReport(next);
    };
    const lookSoon = () => {
      timer ??= window.setTimeout(() => void look(), AFTER_MS);
    };
    void look();
    const off = [client.on('report', lookSoon), client.on('rtt', lookSoon)];
    const interval = window.setInterval(lookSoon, EVERY_MS);
    return () => {
      isOver = true;
      window.clearTimeout(timer);
      window.clearInterval(interval);
      for (const stop of off) stop();
    };
  }, [client]);
  return report;
}
