/** `direct-agent invite`: links with which other people use this host in their browsers. */
import { z } from 'zod';
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import { dashboard, invitationLink } from '../edge-address.ts';
import { type EdgeAnswer, type EdgeApi, EdgeError, understood } from '../edge-api.ts';
import { type Context, day, type Flags, showQr, table } from './context.ts';
import { expiryOf, openAccount, theOne } from './grants.ts';

const time = z.number().nullable();
const invitationInfo = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  name: z.string(),
  hosts: z.array(z.string()),
  expires_at: time,
  created_at: z.number(),
  uses: z.number(),
  last_used_at: time,
});
const invitationList = z.object({ invitations: z.array(invitationInfo) });
const newInvitation = invitationInfo.extend({ secret: z.string().regex(/^[A-Za-z0-9_-]{20,256}$/) });

type InvitationInfo = z.infer<typeof invitationInfo>;

/** stdout gets the link alone, or JSON. @throws CommandError or ConfigError */
export async function createInvitation(context: Context, flags: Flags): Promise<ExitCode> {
  // Not commander's own check, which comes before that of a mistyped option.
  if (flags.name === undefined)
    throw new CommandError(EXIT.usage, '--name is missing: whom the invitation is for, such as --name anna.');
  const { api, edge, config, store } = openAccount(context, flags, 'Invitations');
  const wanted = {
    name: String(flags.name),
    hosts: [config.hostId],
    expires_at: typeof flags.expires === 'string' ? expiryOf(flags.expires, context.now()) : null,
  };
  const { hostKey } = await store.identity();
  const answer = await asHost(edge, api.call('POST', '/invitations', wanted));
  const { secret, ...info } = understood(newInvitation, answer, edge);
  const link = invitationLink(edge, config.hostId, hostKey, secret);
  context.err(`Invited “${plain(info.name)}” (${info.id}) to the host ${config.hostId}, ${endOf(info)}.`);
  context.err(
    'The link is shown this once, on the next line. Whoever has it gets in, so send it as you send a password.',
  );
  context.out(flags.json === true ? JSON.stringify({ ...info, link }, null, 2) : link);
  if (config.access === 'paired') {
    context.err('While “access: paired” is set, the browser must be paired, too. See: direct-agent pair --help');
  }
  if (flags.json !== true) showQr(context, link);
  context.err(`To take it back:  direct-agent invite revoke ${info.id}`);
  return EXIT.ok;
}

/** @throws CommandError or ConfigError */
export async function listInvitations(context: Context, flags: Flags): Promise<ExitCode> {
  const { api, edge } = openAccount(context, flags, 'Invitations');
  const invitations = await fetchInvitations(api, edge);
  if (flags.json === true) {
    context.out(JSON.stringify({ invitations }, null, 2));
  } else if (invitations.length === 0) {
    context.err('Nobody is invited to this host alone. Invite with: direct-agent invite --name <name> --expires 7d');
  } else {
    const rows = invitations.map((one) => [
      one.id,
      one.name,
      String(one.uses),
      one.last_used_at === null ? 'never' : day(one.last_used_at),
      one.expires_at !== null && one.expires_at <= context.now() ? `ended ${day(one.expires_at)}` : endOf(one),
    ]);
    for (const line of table(['ID', 'NAME', 'USES', 'LAST USED', 'GOOD'], rows)) context.out(line);
  }
  return EXIT.ok;
}

/** @throws CommandError or ConfigError */
export async function revokeInvitation(context: Context, idOrName: string, flags: Flags): Promise<ExitCode> {
  const { api, edge } = openAccount(context, flags, 'Invitations');
  const all = await fetchInvitations(api, edge);
  const found = theOne(all, idOrName, { kind: 'invitation', command: 'direct-agent invite list' });
  await api.call('DELETE', `/invitations/${found.id}`);
  context.err(`The invitation “${plain(found.name)}” (${found.id}) is revoked; who came by it is out.`);
  if (flags.json === true) context.out(JSON.stringify({ revoked: found.id }));
  return EXIT.ok;
}

async function fetchInvitations(api: EdgeApi, edge: string): Promise<InvitationInfo[]> {
  return understood(invitationList, await asHost(edge, api.call('GET', '/invitations')), edge).invitations;
}

/** Edges of before let the owner alone invite. */
async function asHost(edge: string, answer: Promise<EdgeAnswer>): Promise<EdgeAnswer> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof EdgeError) || error.code !== 'E_FORBIDDEN') throw error;
    throw new CommandError(
      EXIT.refused,
      `The edge ${edge} is older than this agent, and lets no agent invite. Deploy it again, or invite at ${dashboard(edge)}`,
    );
  }
}

function endOf({ expires_at }: InvitationInfo): string {
  return expires_at === null ? 'until it is revoked' : `until ${day(expires_at)}`;
}
