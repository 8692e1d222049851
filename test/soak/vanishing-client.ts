/** A client of its own process, in the middle of an answer: the soak test kills it, and it says no goodbye. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../web/client/node.ts';
import { HOST_ID, OWNER_TOKEN } from '../stack.ts';

const [edge = ''] = process.argv.slice(2);
const client = connect({ url: edge, host: HOST_ID, token: OWNER_TOKEN });
const response = await client.fetch('/v1/test/trickle?n=100000&ms=5');
await response.body?.getReader().read();
for (let waited = 0; client.path !== 'direct' && waited < 5_000; waited += 20) await sleep(20);
process.send?.(client.path);
setTimeout(() => process.exit(), 60_000);
