/** Files that are dropped on the page. */
import { useState } from 'preact/hooks';

export interface Drop {
  /** Files are held above it. */
  over: boolean;
  handlers: {
    onDragOver: (event: DragEvent) => void;
    onDragLeave: (event: DragEvent) => void;
    onDrop: (event: DragEvent) => void;
  };
}

export function useDrop(add: (files: readonly File[]) => void): Drop {
  const [over, setOver] = useState(false);
  const withFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true;
  return {
    over,
    handlers: {
      onDragOver: (event) => {
        if (!withFiles(event)) return;
        event.preventDefault();
        setOver(true);
      },
      onDragLeave: ({ currentTarget, relatedTarget }) => {
        const inside = relatedTarget instanceof Node && currentTarget instanceof Node;
        if (!inside || !currentTarget.contains(relatedTarget)) setOver(false);
      },
      onDrop: (event) => {
        setOver(false);
        if (!withFiles(event)) return;
        event.preventDefault();
        add([...(event.dataTransfer?.files ?? [])]);
      },
    },
  };
}
