/** What the edge puts into web UIs is one classic script with the client in it: it must run before any other of theirs. */
import { writeFileSync } from 'node:fs';
import type { Plugin } from 'vite';
import { scriptText } from './script-text.ts';

export function uiScript(target: string[]): Plugin {
  return {
    name: 'ui-script',
    writeBundle: async ({ dir = '' }) => {
      writeFileSync(`${dir}/ui.js`, await scriptText(`${import.meta.dirname}/../ui/ui.ts`, { target }));
    },
  };
}
