/**
 * Which files a page asks for before its scripts do, and in which order. In place of Vite's own way, which has no order
 * and puts a helper of a kilobyte around each `import()`.
 */
import type { HtmlTagDescriptor, Plugin, Rolldown } from 'vite';

/**
 * Styles come first: small as they are, they soon leave the document's own connection to the first script's request,
 * which would wait for another one to be made. The client comes next, which is waited for; then the session layer; and
 * what the relay takes comes last, as the direct path does without it.
 */
const STYLESHEET = /<link rel="stylesheet" crossorigin href="\/_direct\/([^"]+)">\s*/g;
const FIRST = 'web/client/connect.ts';
const LAST = ['web/client/session-parts.ts', 'web/client/relay-attempt.ts'];

/** `import()` as it is, without Vite's helper. */
export const plainImports = {
  load: (id: string) =>
    id === '\0vite/preload-helper.js' ? 'export const __vitePreload = (load) => load();' : undefined,
};

export function preloads(): Plugin {
  return {
    name: 'preloads',
    enforce: 'pre',
    ...plainImports,
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
      handler: (html, { bundle = {}, chunk }) => {
        const wanted = chunk?.imports ?? [];
        const first = ownerOf(bundle, FIRST);
        const last = LAST.map((module) => ownerOf(bundle, module));
        const hasClient = first !== undefined && wanted.includes(first);
        const names = hasClient ? [first, ...wanted, chunk?.fileName, ...last] : wanted;
        const scripts = [...new Set(names)].filter((name) => name !== undefined);
        const styles = [...html.matchAll(STYLESHEET)].map(([, name = '']) => name);
        const tags = [
          ...styles.map((name) => link('stylesheet', name)),
          ...scripts.map((name) => link('modulepreload', name)),
        ];
        return { html: html.replaceAll(STYLESHEET, ''), tags };
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

function link(rel: 'stylesheet' | 'modulepreload', fileName: string): HtmlTagDescriptor {
  const attrs = { rel, crossorigin: true, href: `/_direct/${fileName}` };
  return { tag: 'link', attrs, injectTo: 'head-prepend' };
}
