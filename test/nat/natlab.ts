/**
 * `npm run natlab`: every kind of network for the client with every kind for the host, with the path that RFC 4787 and
 * RFC 8445 promise, the path that came, and the time until it did. Exit code 1 if one is not as expected.
 *
 *   npm run natlab -- --client symmetric --host cone     only these; part of a name is enough, repeatable
 *   npm run natlab -- --verbose                          with what page and agent logged in cells that fail
 */
import { parseArgs } from 'node:util';
import { buildWeb } from '../../scripts/web.ts';
import { runMatrix, table } from './matrix.ts';
import { natStackMissing } from './nat-stack.ts';
import { NETWORK_NAMES, PLACES } from './network-types.ts';

const { values } = parseArgs({
  options: {
    client: { type: 'string', multiple: true },
    host: { type: 'string', multiple: true },
    verbose: { type: 'boolean', default: false },
  },
});

/** All of `names` that have one of `parts` in them. */
function chosen<Name extends string>(option: string, names: readonly Name[], parts: readonly string[] = ['']): Name[] {
  return parts.flatMap((part) => {
    // The whole name counts before parts of others: “hairpin” is not “no-hairpin”.
    const found = names.includes(part as Name) ? [part as Name] : names.filter((name) => name.includes(part));
    if (found.length === 0) throw new Error(`--${option} ${part}: there is only ${names.join(', ')}`);
    return found;
  });
}

const missing = natStackMissing();
if (missing !== false) throw new Error(`the NAT lab cannot run here: ${missing}`);
const clients = chosen('client', PLACES, values.client);
const hosts = chosen('host', NETWORK_NAMES, values.host);
await buildWeb();

// So that the lab's own handler of “exit” removes what runs in it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const started = performance.now();
const results = await runMatrix(
  clients.flatMap((client) => hosts.map((host) => ({ client, host }))),
  ({ client, host }, { expected, problem, log }) => {
    process.stderr.write(`${problem === undefined ? '✓' : '✗'} ${client} → ${host}: ${expected} ${problem ?? ''}\n`);
    if (problem !== undefined && values.verbose) process.stderr.write(log.replace(/^/gm, '    ').concat('\n'));
  },
);
const all = [...results.values()].flatMap((row) => [...row.values()]);
const failed = all.filter(({ problem }) => problem !== undefined);
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log('A cell is the path that came, where it is the expected one, and the time until it did;');
console.log('“✗” and the expected path, where something else came. “–”: there cannot be such a pair.\n');
console.log(table(results, clients, hosts));
console.log(`\n${all.length - failed.length} of ${all.length} as expected, in ${seconds} s`);
if (failed.length > 0) process.exitCode = 1;
