/** The channels of one host, which belong to its tunnel or its relay (shared/PROTOCOL.md, section 7). */
import { type ChannelControl, decodeEnvelope } from '../shared/channel.ts';
import { ProtocolError } from '../shared/errors.ts';
import { channelOwner } from './channel-number.ts';
import { Relay } from './relay.ts';
import { type Sender, sends } from './socket.ts';
import { Tunnel } from './tunnel.ts';

export class Channels {
  readonly tunnel = new Tunnel();
  readonly relay: Relay;

  constructor(ctx: DurableObjectState) {
    this.relay = new Relay(ctx);
  }

  /** A binary message of the agent. @throws ProtocolError when it is no channel's. */
  message(bytes: Uint8Array, agent: Sender): void {
    const envelope = decodeEnvelope(bytes);
    const { channel } = envelope;
    if (this.#ownerOf(channel).fromAgent(envelope)) return;
    // Late ones of a channel that was just closed, or of one that an object before this one had.
    sends(agent, JSON.stringify({ type: 'channel_close', channel } satisfies ChannelControl));
  }

  /** A control message of the agent. @throws ProtocolError */
  control({ type, channel }: ChannelControl): void {
    if (type !== 'channel_close') throw new ProtocolError('only the edge opens channels');
    this.#ownerOf(channel).closedByAgent(channel);
  }

  /** The connection `agent` is gone. Relays are always on the current one. */
  lost(reason: string, agent: Sender, current: boolean): void {
    this.tunnel.lost(reason, agent);
    if (current) this.relay.lost();
  }

  /** The agent has come by another connection, and knows nothing of channels before it. */
  renewed(reason: string): void {
    this.tunnel.lost(reason);
    this.relay.lost();
  }

  #ownerOf(channel: number): Tunnel | Relay {
    return channelOwner(channel) === 'relay' ? this.relay : this.tunnel;
  }
}
