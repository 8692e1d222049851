/** An answer as its model meant it. */
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Rendering } from './rendering.ts';

export interface MarkdownProps {
  /** The whole text so far. */
  text: string;
  /** More of it comes. */
  streaming: boolean;
}

type Renderer = typeof import('./rendering.ts');

/** Once for all answers; it is asked for when there is one to show. */
let renderer: Renderer | undefined;

/** Plain text until the renderer is there, and where it cannot be loaded. */
export function Markdown({ text, streaming }: MarkdownProps): VNode {
  const [loaded, setLoaded] = useState(renderer);
  const root = useRef<HTMLDivElement>(null);
  const rendering = useRef<Rendering>(undefined);

  useEffect(() => {
    if (loaded !== undefined) return;
    let wanted = true;
    import('./rendering.ts').then(
      (module) => {
        renderer = module;
        if (wanted) setLoaded(module);
      },
      // The text is on the page already.
      () => {},
    );
    return () => {
      wanted = false;
    };
  }, [loaded]);

  useLayoutEffect(() => {
    if (loaded === undefined || root.current === null) return;
    rendering.current ??= new loaded.Rendering(root.current);
    rendering.current.show(text, streaming);
  }, [loaded, text, streaming]);
  useEffect(() => () => rendering.current?.close(), []);

  // Keys, as the nodes of one are not Preact's.
  if (loaded === undefined) {
    return (
      <div key="plain" class="markdown plain">
        {text}
      </div>
    );
  }
  return <div key="rendered" class="markdown" ref={root} />;
}
