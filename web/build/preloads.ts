/**
 * Which files a page asks for before its scripts do, and in which order. In place of Vite's own way, which has no order
 * and puts a helper of a kilobyte around each `import()`.
 */
import type { HtmlTagDescriptor, Plugin, Rolldown } from 'vite';

/**
 * The client comes first, on the connection that the document came by: it is the largest, and what is waited for. Then
 * the session layer; and what the relay takes comes last, as the direct path does without it.
 */
const FIRST = 'web/client/connect.ts';
const LAST = ['web/client/session-parts.ts', 'web/client/relay-attempt.ts'];

export function preloads(): Plugin {
  return {
    name: 'preloads',
    enforce: 'pre',
    load: (id) => (id === '\0vite/preload-helper.js' ? 'export const __vitePreload = (load) => load();' : undefined),
    generateBundle: (_options, bundle) => {
      // Vite's helper would load them.
      const styled = chunks(bundle).find(
        ({ isDynamicEntry, viteMetadata }) => isDynamicEntry && viteMetadata?.importedCss.size,
      );
      if (styled !== undefined)
        throw new Error(`${styled.name} is loaded later: import its styles from the page’s main.ts`);
    },
    transformIndexHtml: {
      order: 'post',
      handler: (_html, { bundle = {}, chunk }) => {
        const wanted = chunk?.imports ?? [];
        const first = ownerOf(bundle, FIRST);
        const last = LAST.map((module) => ownerOf(bundle, module));
        const hasClient = first !== undefined && wanted.includes(first);
        const names = hasClient ? [first, ...wanted, ...last] : wanted;
        return [...new Set(names)].filter((name) => name !== undefined).map(preload);
      },
    },
  };
}

function chunks(bundle: Rolldown.OutputBundle): Rolldown.OutputChunk[] {
  return Object.values(bundle).filter((file) => file.type === 'chunk');
}

/** The file with `module` itself, not that which the bundler makes for an entry. */
function ownerOf(bundle: Rolldown.OutputBundle, module: string): string | undefined {
  return chunks(bundle).find(({ moduleIds }) => moduleIds.some((id) => id.endsWith(`/${module}`)))?.fileName;
}

function preload(fileName: string): HtmlTagDescriptor {
  const attrs = { rel: 'modulepreload', crossorigin: true, href: `/_direct/${fileName}` };
  return { tag: 'link', attrs, injectTo: 'head-prepend' };
}
