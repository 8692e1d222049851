/** The ollama package on a model at home. Run: npm install direct-agent ollama */
import { Ollama } from 'ollama';
import { direct, home } from './home.mjs';

const { client, model, prompt } = home();
await direct(client);

const ollama = new Ollama({ host: client.origin, fetch: client.fetch });
const stream = await ollama.chat({ model, stream: true, messages: [{ role: 'user', content: prompt }] });
for await (const part of stream) process.stdout.write(part.message.content);

console.error(`\n(${client.path})`);
client.close();
