/** `direct-agent logout`: this machine is no longer a host of the edge. */
import { CommandError, EXIT, type ExitCode } from '../command-error.ts';
import { dashboard } from '../edge-address.ts';
import { EdgeError } from '../edge-api.ts';
import { type Context, connectionOf, type Flags, hostApi, openStore } from './context.ts';

/** The credential is deleted here whatever the edge says. @throws CommandError */
export async function logout(context: Context, flags: Flags): Promise<ExitCode> {
  const store = openStore(context, flags);
  const forgetKey = flags.forgetKey === true;
  const saved = store.credentials();
  if (saved === undefined && !forgetKey) {
    context.err('This machine is not logged in; there is nothing to do.');
    return EXIT.ok;
  }
  let trouble: string | undefined;
  if (saved !== undefined) {
    try {
      await hostApi(context, connectionOf(saved)).call('POST', '/host/logout');
    } catch (error) {
      const isVoid = error instanceof EdgeError && error.code === 'E_UNAUTHORIZED';
      if (!isVoid) trouble = error instanceof CommandError ? error.message : 'The edge was not told.';
    }
    await store.deleteCredentials();
    context.err(`Logged out of ${saved.edge}. An agent that runs with this login stops by itself.`);
  }
  if (forgetKey) {
    await store.deleteHostKey();
    context.err(
      'The host’s key is deleted. The next login makes a new one, and each device that knows the old one stops until it opens the new link.',
    );
  }
  if (saved === undefined || trouble === undefined) return EXIT.ok;
  throw new CommandError(
    EXIT.tryAgain,
    `${trouble} The login is deleted here, but still valid there. Remove the host “${saved.host_name}” at ${dashboard(saved.edge)}`,
  );
}
