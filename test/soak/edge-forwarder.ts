/** In the agent's network: without HTTPS an agent takes an edge on loopback only. A process of its own, so that the agent's is none but the agent. */
import { createServer } from 'node:net';
import { startForwarder } from '../tcp-forwarder.ts';

const [edge = '', port] = process.argv.slice(2);
await startForwarder(edge, undefined, createServer().listen(Number(port), '127.0.0.1'));
process.stdin.resume().on('end', () => process.exit(0));
process.stdout.write('ready\n');
