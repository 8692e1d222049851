/** Components that show a store’s state. */
import { useEffect, useState } from 'preact/hooks';
import type { Watched } from './store.ts';

export function useStateOf<State>(watched: Watched<State>): State {
  const [, setSeen] = useState(watched.state);
  useEffect(() => {
    const look = () => setSeen(watched.state);
    // It may have changed since it was rendered.
    look();
    return watched.subscribe(look);
  }, [watched]);
  return watched.state;
}
