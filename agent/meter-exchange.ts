/** The agent's end of an exchange that counts what passes. */
import { AgentExchange } from '../shared/exchange.ts';
import type { Stream } from '../shared/stream.ts';
import type { RequestMeter } from './meter.ts';

export class MeteredExchange extends AgentExchange {
  readonly #meter: RequestMeter;

  constructor(stream: Stream, meter: RequestMeter) {
    super(stream);
    this.#meter = meter;
  }

  override sendData(bytes: Uint8Array): Promise<void> {
    this.#meter.sent(bytes.length);
    return super.sendData(bytes);
  }

  override async readData(): Promise<Uint8Array | null> {
    const piece = await super.readData();
    if (piece !== null) this.#meter.received(piece.length);
    return piece;
  }
}
