/** Ends what goes on for a subject (`Grant.subject`) at hosts: its relays, tunnelled requests and direct sessions. */

type Env = Pick<Cloudflare.Env, 'HOSTS'>;

/** A host that fails must not keep the others from it; the credential itself is void already. */
export async function revokeAt(env: Env, hosts: readonly string[], subject: string): Promise<void> {
  const ends = hosts.map((host) => env.HOSTS.getByName(host).revoke(subject));
  for (const end of await Promise.allSettled(ends)) {
    if (end.status === 'rejected') console.error('a host could not be told of a revocation', end.reason);
  }
}
