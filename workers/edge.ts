/** The Worker: which address goes where, and what every response has in common. */
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { DirectError } from '../shared/errors.ts';
import { api } from './api/index.ts';
import type { EdgeEnv } from './caller.ts';
import { withErrorPage } from './error-page.ts';
import { checkSocketOrigin } from './origin.ts';
import { isPage, pages } from './pages.ts';
import { errorResponse } from './responses.ts';
import { setUpPage } from './set-up-page.ts';
import { readSettings } from './settings.ts';
import { signaling } from './signaling.ts';
import { tunnel } from './tunnel-routes.ts';
import { atWebUiSites } from './web-ui-site.ts';

export const edge = new Hono<EdgeEnv>();

edge.use(async (c, next) => {
  await next();
  // The header fields of a 101 are the runtime's own.
  if (c.res.status === 101) return;
  c.header('X-Content-Type-Options', 'nosniff');
  // Addresses hold session ids, which are capabilities. A web UI's own documents say themselves what theirs hold.
  if (!c.res.headers.has('Referrer-Policy')) c.header('Referrer-Policy', 'no-referrer');
});

// Any origin, because pages of foreign hosts (term-llm) signal here. Without credentials: cookies do not come along.
edge.use(
  '/_direct/h/*',
  cors({
    origin: '*',
    allowMethods: ['GET', 'POST'],
    allowHeaders: ['Authorization', 'Content-Type'],
    exposeHeaders: ['Retry-After'],
    // Chrome's own maximum: two hours without another preflight.
    maxAge: 7200,
  }),
);

edge.use('/_direct/*', async (c, next) => {
  await next();
  if (c.res.status === 101) return;
  c.header('Cache-Control', 'no-store');
  // For those who open an address of ours in a browser: JSON has nothing to load. Pages have said it already.
  if (!c.res.headers.has('Content-Security-Policy')) {
    c.header('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
  }
});

edge.use(async (c, next) => {
  try {
    c.set('settings', readSettings(c.env));
  } catch (error) {
    if (isPage(c.req.path)) return setUpPage(error);
    throw error;
  }
  return next();
});

edge.use(checkSocketOrigin);

edge.use(atWebUiSites);

edge.route('/', pages);
edge.route('/_direct/api', api);
edge.route('/_direct/h/:host', signaling);

edge.all('/_direct/*', () => errorResponse(new DirectError('E_NOT_FOUND')));

edge.route('/', tunnel);

edge.onError((error, c) => {
  // The client of a poll has gone; nobody reads this, but it is no failure of ours either.
  if (c.req.raw.signal.aborted) return errorResponse(new DirectError('E_CANCELLED'), c.req.path);
  // Never the request: its address and header fields hold session ids and tokens.
  if (!(error instanceof DirectError)) console.error('unexpected error', error);
  const response = errorResponse(error, c.req.path);
  const atSite = c.get('site') !== undefined;
  // The edge's own addresses are for programs, and those that are pages have their own words.
  if (c.req.path.startsWith('/_direct/') && !atSite) return response;
  return withErrorPage(response, { request: c.req.raw, links: !atSite });
});
