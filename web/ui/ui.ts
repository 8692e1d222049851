/**
 * The script that the edge puts before all others into documents of a host's web UI. It is a classic one, so that it has
 * run before any other does. Whatever goes wrong here, the page goes on by the platform's own means.
 */
import { moveUi } from './move.ts';
import { parseHttpsPaths } from './reach.ts';

const { host, httpsPaths } = (document.currentScript as HTMLScriptElement | null)?.dataset ?? {};
try {
  if (host) moveUi({ host, httpsPaths: parseHttpsPaths(httpsPaths) });
} catch (error) {
  console.warn('direct-agent: this page uses no direct path', error);
}
