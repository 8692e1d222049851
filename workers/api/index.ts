/** The edge's HTTP API, `/_direct/api`: sign-in, and what the owner sees and changes. JSON, times in ms since 1970. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import type { EdgeEnv } from '../caller.ts';
import { noForeignPages } from '../origin.ts';
import { errorResponse } from '../responses.ts';
import { audit } from './audit.ts';
import { device } from './device.ts';
import { hosts } from './hosts.ts';
import { ice } from './ice.ts';
import { invitations } from './invitations.ts';
import { keys } from './keys.ts';
import { passkeys } from './passkeys.ts';
import { sessions } from './sessions.ts';
import { signIn } from './sign-in.ts';
import { webUi } from './web-ui.ts';

export const api = new Hono<EdgeEnv>();

// Sign-in needs no cookie, and would give one to whoever made the browser ask.
api.use(noForeignPages);

api.route('/', signIn);
api.route('/', sessions);
api.route('/', audit);
api.route('/', device);
api.route('/', hosts);
api.route('/', ice);
api.route('/', keys);
api.route('/', invitations);
api.route('/', passkeys);
api.route('/', webUi);

api.all('*', () => errorResponse(new DirectError('E_NOT_FOUND')));
