/** What tests of the doctor share. */
import type { AgentSettings } from '../config.ts';
import { loadSettings } from '../config.ts';
import type { Finding } from './finding.ts';
import { lines } from './report.ts';

/** The findings as people read them. */
export function told(findings: readonly Finding[]): string {
  return findings.flatMap((finding) => lines(finding, false)).join('\n');
}

/** By flags, as the command line has them. */
export function settingsWith(flags: Readonly<Record<string, unknown>> = {}): AgentSettings {
  return loadSettings({
    flags,
    env: {},
    readFile: () => {
      throw Object.assign(new Error('no file in tests'), { code: 'ENOENT' });
    },
  });
}

/** Answers by URL; what is not there refuses the connection. */
export function fakeFetch(answers: Readonly<Record<string, () => Response | Promise<Response>>>): typeof fetch {
  return async (input, init) => {
    const answer = answers[String(input)];
    if (answer === undefined) throw new TypeError('fetch failed', { cause: refused() });
    const aborted = Promise.withResolvers<never>();
    init?.signal?.addEventListener('abort', () => aborted.reject(init.signal?.reason));
    return await Promise.race([answer(), aborted.promise]);
  };
}

function refused(): Error {
  return Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
}
