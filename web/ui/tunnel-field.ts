import { UPSTREAM_AUTHORIZATION } from '../../shared/tunnel-fields.ts';

/** `Authorization` of the UI is for its own server. What goes through the tunnel names it so (PROTOCOL.md, section 7). */
export function tunnelField(name: string): string {
  return name.toLowerCase() === 'authorization' ? UPSTREAM_AUTHORIZATION : name;
}
