/** What the agent uses of node-datachannel, whose own types are there only where it is installed. */

export interface NativeLibrary {
  /** Threads and tables of the library; else the first connection waits for them. */
  preload(): void;
  /** Ends every connection, and waits for the library's threads: for the end of the process. */
  cleanup(): void;
  setSctpSettings(settings: { recvBufferSize?: number; sendBufferSize?: number; delayedSackTime?: number }): void;
  readonly PeerConnection: new (name: string, config: NativeConfig) => NativeConnection;
}

/** A plain one asks STUN, one with a name asks TURN over UDP. */
export interface NativeServer {
  readonly hostname: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly relayType?: 'TurnUdp';
}

export interface NativeConfig {
  readonly iceServers: readonly NativeServer[];
  readonly maxMessageSize: number;
  readonly bindAddress?: string;
  readonly portRangeBegin?: number;
  readonly portRangeEnd?: number;
  /** All connections of the process that name this port share its socket; TURN is left out then. */
  readonly enableIceUdpMux?: boolean;
}

export interface NativeConnection {
  close(): void;
  setRemoteDescription(sdp: string, type: 'offer'): void;
  localDescription(): { sdp: string } | null;
  addRemoteCandidate(candidate: string, mid: string): void;
  createDataChannel(label: string, init: { negotiated: true; id: number }): NativeChannel;
  onLocalCandidate(listener: (candidate: string) => void): void;
  onStateChange(listener: (state: string) => void): void;
  onIceStateChange(listener: (state: string) => void): void;
  onGatheringStateChange(listener: (state: string) => void): void;
  /** The other end has opened one. */
  onDataChannel(listener: () => void): void;
  getSelectedCandidatePair(): { local: NativeCandidate; remote: NativeCandidate } | null;
  /** Milliseconds; negative where it is not known. */
  rtt(): number;
}

export interface NativeCandidate {
  readonly address: string;
  readonly port: number;
  readonly type: string;
}

export interface NativeChannel {
  close(): void;
  /** False: it waits in the library's queue. @throws Error when the channel is closed, or the message too long */
  sendMessageBinary(message: Buffer): boolean;
  isOpen(): boolean;
  /** Bytes in the library's queue. */
  bufferedAmount(): number;
  onOpen(listener: () => void): void;
  onClosed(listener: () => void): void;
  onBufferedAmountLow(listener: () => void): void;
  onMessage(listener: (message: string | Buffer | ArrayBuffer) => void): void;
}

/** Loads it. @throws Error where the package does not fit this machine, or is another than its name says */
export async function importNative(file: URL): Promise<NativeLibrary> {
  const imported = (await import(file.href)) as { default?: unknown };
  const library = Object(imported.default ?? imported) as Partial<NativeLibrary>;
  const missing = (['preload', 'cleanup', 'setSctpSettings', 'PeerConnection'] as const).filter(
    (name) => typeof library[name] !== 'function',
  );
  if (missing.length > 0) throw new Error(`it has no ${missing.join(', ')}`);
  return library as NativeLibrary;
}
