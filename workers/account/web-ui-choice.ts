/** Which host's web UI a request is for. */

export interface WebUiAsked {
  /** What the request names, in `Direct-Host`. */
  named: string | null;
  /** What the person has chosen in this browser. */
  chosen: string | null;
}

/**
 * One of `usable`, the hosts whose web UI is switched on and that the caller may use; undefined: none. A choice that is
 * no longer good counts as none.
 */
export function webUiHost(usable: readonly string[], { named, chosen }: WebUiAsked): string | undefined {
  if (named !== null) return usable.find((id) => id === named);
  const [only, ...others] = usable;
  return usable.find((id) => id === chosen) ?? (others.length === 0 ? only : undefined);
}
