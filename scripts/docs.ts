/** `npm run docs`: writes the documents that are made of code, so that they say what it does. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { commandsReference } from './docs-commands.ts';
import { configurationReference } from './docs-configuration.ts';
import { errorsReference } from './docs-errors.ts';
import { between } from './docs-page.ts';

const docs = fileURLToPath(new URL('../docs/', import.meta.url));

/** Each made document with the text that it should have, by its name below docs/. */
export function madeDocuments(): ReadonlyMap<string, string> {
  const troubleshooting = readFileSync(`${docs}troubleshooting.md`, 'utf8');
  return new Map([
    ['reference/configuration.md', configurationReference()],
    ['reference/commands.md', commandsReference()],
    ['troubleshooting.md', between(troubleshooting, 'errors', errorsReference())],
  ]);
}

if (import.meta.main) {
  for (const [name, text] of madeDocuments()) writeFileSync(`${docs}${name}`, text);
}
