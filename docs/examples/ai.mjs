/** The AI SDK on a model at home. Run: npm install direct-agent ai @ai-sdk/openai-compatible */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { streamText } from 'ai';
import { direct, home } from './home.mjs';

const { client, model, prompt } = home();
await direct(client);

const provider = createOpenAICompatible({ name: 'home', baseURL: `${client.origin}/v1`, fetch: client.fetch });
const { textStream } = streamText({ model: provider(model), prompt });
for await (const text of textStream) process.stdout.write(text);

console.error(`\n(${client.path})`);
client.close();
