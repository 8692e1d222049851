/** What the client is told of this machine's addresses, where node-datachannel has the sockets. */
import { parseCandidate } from './candidate-line.ts';
import { type Endpoint, endpointText } from './datagram.ts';
import { type LocalCandidate, untilMapped } from './gathering.ts';
import type { LocalAddress, PortMapper } from './network-settings.ts';

export interface NativeCandidatesOptions {
  readonly addresses: readonly LocalAddress[];
  readonly portMapper: PortMapper | undefined;
  /** To be told to the other end. */
  candidate(candidate: LocalCandidate): void;
  /** There will be no more. */
  done(): void;
}

const MAX_PREFERENCE = 65_535;
/** The library asks a silent server for 40 s; what it says so late is of no use to the client. */
const LIBRARY_MS = 3_000;

export class NativeCandidates {
  readonly #options: NativeCandidatesOptions;
  readonly #stop = new AbortController();
  readonly #told = new Set<string>();
  /** The library's gathering is one. */
  #pending = 1;
  readonly #limit = setTimeout(() => this.foundAll(), LIBRARY_MS).unref();
  #foundAll = false;
  #unmap: () => void = () => {};
  /** A server has said how this machine is seen from outside. */
  isReflexive = false;

  constructor(options: NativeCandidatesOptions) {
    this.#options = options;
  }

  /**
   * This machine's addresses as the settings choose and name them, in place of those that the library finds.
   * `isShared`: `port` is the one of many connections, which somebody else keeps mapped.
   */
  tellHosts(port: number, isShared: boolean): void {
    const { addresses, portMapper } = this.#options;
    // IPv6 first: it mostly needs no NAT (RFC 8421, section 4).
    for (const [i, { address, advertised }] of addresses.toSorted((a, b) => b.family - a.family).entries()) {
      const base: Endpoint = [address, port];
      const localPreference = MAX_PREFERENCE - i * 256;
      for (const told of advertised) this.#tell({ type: 'host', endpoint: [told, port], base, localPreference });
      if (portMapper === undefined) continue;
      if (!isShared) portMapper.map({ address, port });
      const tellMapped = () => {
        const external = portMapper.external({ address, port });
        if (external === undefined) return false;
        this.#tell({ type: 'srflx', endpoint: [external.address, external.port], base, localPreference });
        return true;
      };
      if (tellMapped()) continue;
      this.#pending++;
      void untilMapped(tellMapped, this.#stop.signal).then(() => this.#finished());
    }
    if (!isShared) {
      this.#unmap = () => {
        for (const { address } of addresses) portMapper?.unmap({ address, port });
      };
    }
  }

  /** A line of the library's: what STUN and TURN say. Of a family that is left out it is not told. */
  found(line: string): void {
    const found = parseCandidate(line);
    if (this.#foundAll || found === undefined || found.type === 'host' || !this.allows(found.host)) return;
    const endpoint: Endpoint = [found.host, found.port];
    this.isReflexive = true;
    this.#tell({ type: found.type, endpoint, base: endpoint, localPreference: MAX_PREFERENCE });
  }

  /** The library has found all that it will. */
  foundAll(): void {
    clearTimeout(this.#limit);
    if (this.#foundAll) return;
    this.#foundAll = true;
    this.#finished();
  }

  /** Whether an address of this family is used; where there is no address, any may come. */
  allows(host: string): boolean {
    const { addresses } = this.#options;
    return addresses.length === 0 || addresses.some(({ family }) => family === (host.includes(':') ? 6 : 4));
  }

  /** Nothing is told any more; the router may close what was opened for this connection alone. */
  close(): void {
    clearTimeout(this.#limit);
    this.#stop.abort();
  }

  /** To be called when the sockets are closed. */
  release(): void {
    this.#unmap();
  }

  #finished(): void {
    this.#pending--;
    if (this.#pending === 0 && !this.#stop.signal.aborted) this.#options.done();
  }

  #tell(candidate: LocalCandidate): void {
    const key = endpointText(candidate.endpoint);
    // A reflexive address that equals the host's says nothing new.
    if (this.#told.has(key) || this.#stop.signal.aborted) return;
    this.#told.add(key);
    this.#options.candidate(candidate);
  }
}
