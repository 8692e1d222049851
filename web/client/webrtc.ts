/**
 * The part of the W3C’s WebRTC API that the client uses, so narrow that werift’s classes fit it as well as the
 * browser’s.
 */
export interface PeerConfiguration {
  /** One URL each, which every implementation understands. */
  iceServers?: { urls: string; username?: string; credential?: string }[];
  iceTransportPolicy: 'all' | 'relay';
}

export type PeerConnectionClass = new (configuration: PeerConfiguration) => PeerConnection;

export interface PeerConnection {
  readonly connectionState: string;
  readonly iceConnectionState: string;
  readonly sctp?: { readonly maxMessageSize?: number } | null;
  createDataChannel(label: string, options: { negotiated: boolean; id: number; ordered: boolean }): DataChannel;
  createOffer(): Promise<{ sdp?: string | undefined }>;
  setConfiguration(configuration: PeerConfiguration): void;
  setLocalDescription(description: { type: 'offer'; sdp: string }): Promise<unknown>;
  setRemoteDescription(description: { type: 'answer'; sdp: string }): Promise<unknown>;
  addIceCandidate(candidate: {
    candidate: string;
    sdpMid: string | null;
    sdpMLineIndex: number | null;
  }): Promise<unknown>;
  getStats(): Promise<StatsReport>;
  close(): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the listeners’ types differ between the DOM and werift
  addEventListener(type: string, listener: (event: any) => void): void;
}

export interface StatsReport {
  // biome-ignore lint/suspicious/noExplicitAny: typed `any` by the DOM too; read in candidate-pair.ts only
  forEach(visit: (entry: any) => void): void;
}

export interface DataChannel {
  binaryType?: string;
  readonly readyState: string;
  readonly bufferedAmount: number;
  bufferedAmountLowThreshold: number;
  send(message: string | Uint8Array): void;
  close(): void;
  // biome-ignore lint/suspicious/noExplicitAny: see above
  addEventListener(type: string, listener: (event: any) => void): void;
}
