/** Chrome's protocol, as Node and workerd speak it, as far as it is needed to see what a process really holds. */
import { once } from 'node:events';
import { WebSocket } from 'ws';

type Result = Record<string, unknown>;

export class Inspector {
  readonly #socket: WebSocket;
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  static async open(url: string): Promise<Inspector> {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    await once(socket, 'open');
    return new Inspector(socket);
  }

  /** Bytes that V8 knows of and that can be reached, those of buffers included. */
  async heldBytes(): Promise<number> {
    // It collects garbage before. workerd does not answer `collectGarbage`.
    await this.#call('HeapProfiler.takeHeapSnapshot');
    const usage = (await this.#call('Runtime.getHeapUsage')) as Record<string, number>;
    return (usage.usedSize ?? Number.NaN) + (usage.embedderHeapUsedSize ?? 0) + (usage.backingStorageSize ?? 0);
  }

  close(): void {
    this.#socket.close();
  }

  #call(method: string, params: Result = {}): Promise<Result> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      const hear = (data: unknown) => {
        const message = JSON.parse(String(data)) as { id?: number; result?: Result };
        if (message.id !== id) return;
        this.#socket.off('message', hear);
        resolve(message.result ?? {});
      };
      this.#socket.on('message', hear);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}
