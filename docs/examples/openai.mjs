/** The openai package on a model at home. Run: npm install direct-agent openai */
import OpenAI from 'openai';
import { direct, home } from './home.mjs';

const { client, model, prompt } = home();
await direct(client);

const openai = new OpenAI({ baseURL: `${client.origin}/v1`, apiKey: 'none', fetch: client.fetch });
const stream = await openai.chat.completions.create({
  model,
  stream: true,
  messages: [{ role: 'user', content: prompt }],
});
for await (const part of stream) process.stdout.write(part.choices[0]?.delta.content ?? '');

console.error(`\n(${client.path})`);
client.close();
