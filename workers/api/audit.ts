/** What happened to the account. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import { accountOf } from '../account-stub.ts';
import type { EdgeEnv } from '../caller.ts';
import { owner } from './guards.ts';

const PAGE_LENGTH = 100;

export const audit = new Hono<EdgeEnv>();

audit.get('/audit', owner(), async (c) => {
  const before = c.req.query('before');
  if (before !== undefined && !/^\d{1,15}$/.test(before)) {
    throw new DirectError('E_BAD_REQUEST', 'before must be the id of an event');
  }
  const last = before === undefined ? undefined : Number(before);
  return c.json({ events: await accountOf(c).audit().list(PAGE_LENGTH, last) });
});
