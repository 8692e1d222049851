/** A fake LLM server as a process that can be killed. Its port is the argument; a line on stdout says that it listens. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { startFakeLlm } from './fake-llm.ts';

const listening = createServer().listen(Number(process.argv[2]), '127.0.0.1');
await once(listening, 'listening');
const fake = await startFakeLlm({ strictHost: true, listening });
process.stdout.write(`${fake.url}\n`);
