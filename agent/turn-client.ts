/** Requests to a TURN server and what it sends by itself, with long-term credentials (RFC 8489, section 9.2). */
import { randomBytes } from 'node:crypto';
import type { Endpoint } from './datagram.ts';
import {
  ATTRIBUTE,
  decodeStun,
  encodeStun,
  errorCode,
  hasIntegrity,
  longTermKey,
  looksLikeStun,
  METHOD,
  plainAddress,
  type StunMessage,
  transactionKey,
  withFingerprint,
  xorAddress,
} from './stun.ts';
import type { TurnCarrier } from './turn-carrier.ts';

/** Requests over UDP are repeated at 200, 600, 1400 and 3000 ms; then the server is given up. */
const FIRST_REPETITION_MS = 200;
const REQUEST_TIMEOUT_MS = 5_000;

export interface TurnCredentials {
  readonly username: string;
  readonly credential: string;
}

/** The server answered with an error, such as 401 for credentials that are wrong. The message holds no secrets. */
export class TurnError extends Error {
  readonly code: number;
  /** With code 300: where to ask instead. */
  readonly alternate: Endpoint | undefined;

  constructor(code: number, alternate?: Endpoint) {
    super(code === 0 ? 'the TURN server does not answer' : `the TURN server answers ${code}`);
    this.code = code;
    this.alternate = alternate;
  }
}

type Attributes = readonly (readonly [type: number, value: Buffer])[];

interface Transaction {
  /** Set once the server asked for credentials. */
  readonly key: Buffer | undefined;
  respond(message: StunMessage): void;
  giveUp(): void;
}

/** Requests and their answers, with long-term credentials (RFC 8489, section 9.2). */
export class TurnClient {
  onData: (peer: Endpoint, data: Buffer) => void = () => {};
  onChannelData: (number: number, data: Buffer) => void = () => {};
  onClosed: () => void = () => {};
  readonly #carrier: TurnCarrier;
  readonly #credentials: TurnCredentials;
  readonly #transactions = new Map<string, Transaction>();
  #challenge: { realm: Buffer; nonce: Buffer; key: Buffer } | undefined;

  constructor(carrier: TurnCarrier, credentials: TurnCredentials) {
    this.#carrier = carrier;
    this.#credentials = credentials;
    carrier.message = (bytes) => this.#received(bytes);
    carrier.closed = () => {
      this.#giveUp();
      this.onClosed();
    };
  }

  close(): void {
    this.#giveUp();
    this.#carrier.close();
  }

  sendChannelData(number: number, data: Buffer): void {
    const header = Buffer.allocUnsafe(4);
    header.writeUInt16BE(number, 0);
    header.writeUInt16BE(data.length, 2);
    this.#carrier.send(Buffer.concat([header, data]));
  }

  /** @throws TurnError */
  async request(
    method: number,
    attributes: (transactionId: Buffer) => Attributes,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<StunMessage> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.#exchange(method, attributes, timeoutMs);
      if (response.class === 'success') return response;
      const code = errorCode(response);
      // Without credentials at first; the nonce ends now and then.
      const retry = (code === 401 && attempt === 0 && this.#challenge === undefined) || (code === 438 && attempt < 3);
      if (retry && this.#take(response)) continue;
      throw new TurnError(code, code === 300 ? plainAddress(response, ATTRIBUTE.alternateServer) : undefined);
    }
  }

  #take({ attributes }: StunMessage): boolean {
    const nonce = attributes.get(ATTRIBUTE.nonce);
    const realm = attributes.get(ATTRIBUTE.realm) ?? this.#challenge?.realm;
    if (nonce === undefined || realm === undefined) return false;
    const { username, credential } = this.#credentials;
    this.#challenge = { realm, nonce, key: longTermKey(username, realm.toString(), credential) };
    return true;
  }

  #exchange(
    method: number,
    attributes: (transactionId: Buffer) => Attributes,
    timeoutMs: number,
  ): Promise<StunMessage> {
    const transactionId = randomBytes(12);
    const challenge = this.#challenge;
    const signed: Attributes =
      challenge === undefined
        ? []
        : [
            [ATTRIBUTE.username, Buffer.from(this.#credentials.username)],
            [ATTRIBUTE.realm, challenge.realm],
            [ATTRIBUTE.nonce, challenge.nonce],
          ];
    const content = { class: 'request', method, transactionId } as const;
    const all = [...attributes(transactionId), ...signed];
    const bytes = withFingerprint(encodeStun({ ...content, attributes: all }, challenge?.key));
    return new Promise((resolve, reject) => {
      let repetition: NodeJS.Timeout | undefined;
      const id = transactionKey(bytes);
      const finish = (message: StunMessage | undefined) => {
        clearTimeout(deadline);
        clearTimeout(repetition);
        this.#transactions.delete(id);
        if (message === undefined) reject(new TurnError(0));
        else resolve(message);
      };
      const deadline = setTimeout(() => finish(undefined), timeoutMs);
      this.#transactions.set(id, { key: challenge?.key, respond: finish, giveUp: () => finish(undefined) });
      const repeat = (waitMs: number) => {
        repetition = setTimeout(() => {
          this.#carrier.send(bytes);
          repeat(waitMs * 2);
        }, waitMs);
      };
      if (!this.#carrier.reliable) repeat(FIRST_REPETITION_MS);
      this.#carrier.send(bytes);
    });
  }

  #received(bytes: Buffer): void {
    if ((bytes[0] ?? 0) >> 6 === 1) {
      if (bytes.length < 4) return;
      const end = 4 + bytes.readUInt16BE(2);
      if (end <= bytes.length) this.onChannelData(bytes.readUInt16BE(0), bytes.subarray(4, end));
      return;
    }
    if (!looksLikeStun(bytes)) return;
    const message = decodeStun(bytes);
    if (message === undefined) return;
    if (message.class === 'indication' && message.method === METHOD.data) {
      const peer = xorAddress(message, ATTRIBUTE.xorPeerAddress);
      const data = message.attributes.get(ATTRIBUTE.data);
      if (peer !== undefined && data !== undefined) this.onData(peer, data);
      return;
    }
    const transaction = this.#transactions.get(transactionKey(bytes));
    if (transaction === undefined || message.class === 'request') return;
    // Errors about the credentials themselves cannot be signed.
    const proven = transaction.key === undefined || hasIntegrity(message, transaction.key);
    if (proven || message.class === 'error') transaction.respond(message);
  }

  #giveUp(): void {
    for (const transaction of [...this.#transactions.values()]) transaction.giveUp();
  }
}
