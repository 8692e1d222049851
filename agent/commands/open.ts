/** `direct-agent open`: this host's page in the browser, known by the key that the link carries. */
import { openBrowser } from '../browser.ts';
import { EXIT, type ExitCode } from '../command-error.ts';
import { edgeOf, hostLink } from '../edge-address.ts';
import { type Context, type Flags, openStore, readConfig, showQr } from './context.ts';

/** stdout gets the address in any case. `launch` says why there is no browser. @throws CommandError or ConfigError */
export async function open(
  context: Context,
  flags: Flags,
  launch: (url: string) => Promise<string | undefined> = openBrowser,
): Promise<ExitCode> {
  const store = openStore(context, flags);
  const { signalingUrl, hostId } = readConfig(context, flags, store);
  const { hostKey } = await store.identity();
  const url = hostLink(edgeOf(signalingUrl), hostId, hostKey);
  context.out(url);
  if (flags.print === true) return EXIT.ok;
  const why = await launch(url);
  if (why === undefined) {
    context.err('Opened in your browser.');
  } else {
    context.err(`No browser was opened: ${why}. Open the address above on any device.`);
    showQr(context, url);
  }
  return EXIT.ok;
}
