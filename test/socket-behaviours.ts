/**
 * What every WebSocket must do (WHATWG WebSockets), as a table that runs wherever there is one: against the fake LLM's
 * sockets (fake-socket.ts), with the platform's class as the reference.
 */
import { thrown } from './thrown.ts';

export type SocketClass = typeof WebSocket;

export interface Behaviour {
  /** Told for people; unique. */
  name: string;
  /** `url` is an address of the fake LLM, ws or wss, with a query. */
  run(Socket: SocketClass, url: string): unknown;
  expected: unknown;
  /** Node’s WebSocket does something else. */
  notInNode?: true;
}

type Heard = [type: string, ...details: unknown[]];

/** Everything that a socket says, until it is closed. */
class Ear {
  readonly heard: Heard[] = [];
  readonly closed: Promise<Heard[]>;
  readonly #waiting: (() => void)[] = [];

  constructor(socket: WebSocket) {
    const hear = (...event: Heard) => {
      this.heard.push(event);
      for (const look of this.#waiting.splice(0)) look();
    };
    socket.addEventListener('open', () => hear('open', socket.readyState));
    socket.addEventListener('message', ({ data }) => hear('message', data));
    socket.addEventListener('error', () => hear('error', socket.readyState));
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason, wasClean }) => {
        hear('close', code, reason, wasClean, socket.readyState);
        resolve(this.heard);
      });
    });
  }

  async until(count: number, type = 'message'): Promise<Heard[]> {
    const those = () => this.heard.filter(([heard]) => heard === type);
    while (those().length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return those();
  }
}

async function opened(Socket: SocketClass, url: string, protocols?: string[]): Promise<[WebSocket, Ear]> {
  const socket = protocols === undefined ? new Socket(url) : new Socket(url, protocols);
  const ear = new Ear(socket);
  await ear.until(1, 'open');
  return [socket, ear];
}

async function echo(
  Socket: SocketClass,
  url: string,
  ...messages: (string | Blob | BufferSource)[]
): Promise<unknown[]> {
  const [socket, ear] = await opened(Socket, url);
  socket.binaryType = 'arraybuffer';
  for (const message of messages) socket.send(message);
  const heard = await ear.until(messages.length);
  socket.close();
  return heard.map(([, data]) => (typeof data === 'string' ? data : [...new Uint8Array(data as ArrayBuffer)]));
}

const bytes = (...values: number[]) => Uint8Array.from(values);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export const BEHAVIOURS: readonly Behaviour[] = [
  {
    name: 'the constants are on the class and on its prototype',
    run: (Socket) =>
      [Socket, Socket.prototype].flatMap((owner) => [owner.CONNECTING, owner.OPEN, owner.CLOSING, owner.CLOSED]),
    expected: [0, 1, 2, 3, 0, 1, 2, 3],
  },
  {
    name: 'an invalid URL, another scheme and a fragment are SyntaxErrors',
    run: (Socket, url) => ['ws://', 'ftp://a.example/', `${url}#x`].map((bad) => thrown(() => new Socket(bad))),
    expected: ['SyntaxError', 'SyntaxError', 'SyntaxError'],
  },
  {
    name: 'http in the URL becomes ws',
    run: async (Socket, url) => {
      const [socket] = await opened(Socket, url.replace(/^ws/, 'http'));
      socket.close();
      return socket.url === url;
    },
    expected: true,
  },
  {
    name: 'subprotocols that are malformed or come twice are SyntaxErrors',
    run: (Socket, url) =>
      [['a', 'a'], [''], ['a b'], ['a,b'], ['ü'], ['a/b']].map((list) => thrown(() => new Socket(url, list))),
    expected: Array.from({ length: 6 }, () => 'SyntaxError'),
  },
  {
    name: 'it begins with nothing',
    run: (Socket, url) => {
      const socket = new Socket(url);
      new Ear(socket);
      const { readyState, bufferedAmount, protocol, extensions, binaryType, onopen } = socket;
      socket.close();
      return { readyState, bufferedAmount, protocol, extensions, binaryType, onopen, url: socket.url === url };
    },
    expected: {
      readyState: 0,
      bufferedAmount: 0,
      protocol: '',
      extensions: '',
      binaryType: 'blob',
      onopen: null,
      url: true,
    },
  },
  {
    name: 'send while it connects is an InvalidStateError',
    run: (Socket, url) => {
      const socket = new Socket(url);
      new Ear(socket);
      const name = thrown(() => socket.send('early'));
      socket.close();
      return name;
    },
    expected: 'InvalidStateError',
  },
  {
    name: 'close while it connects: an error, and 1006',
    notInNode: true,
    run: (Socket, url) => {
      const socket = new Socket(url);
      const ear = new Ear(socket);
      socket.close(4000, 'not needed');
      return ear.closed.then((heard) => [socket.readyState, heard]);
    },
    expected: [
      3,
      [
        ['error', 3],
        ['close', 1006, '', false, 3],
      ],
    ],
  },
  {
    name: 'close in CONNECTING makes it CLOSING at once',
    notInNode: true,
    run: (Socket, url) => {
      const socket = new Socket(url);
      new Ear(socket);
      socket.close();
      return socket.readyState;
    },
    expected: 2,
  },
  {
    name: 'a refused handshake: an error, and 1006',
    run: (Socket, url) => new Ear(new Socket(`${url}&status=401`)).closed,
    expected: [
      ['error', 3],
      ['close', 1006, '', false, 3],
    ],
  },
  {
    name: 'text is echoed, surrogates and byte order marks too',
    notInNode: true,
    run: (Socket, url) => echo(Socket, url, 'hi', '', 'ü→😀', '\ufeffx'),
    expected: ['hi', '', 'ü→😀', '\ufeffx'],
  },
  {
    name: 'a lone surrogate is replaced',
    run: (Socket, url) => echo(Socket, url, 'a\ud800b'),
    expected: ['a\ufffdb'],
  },
  {
    name: 'what is no message is its text',
    run: (Socket, url) => echo(Socket, url, { toString: () => 'text' } as unknown as string, null as unknown as string),
    expected: ['text', 'null'],
  },
  {
    name: 'bytes are echoed from all kinds of buffers',
    run: (Socket, url) =>
      echo(
        Socket,
        url,
        bytes(1, 2),
        bytes(0, 3, 4, 0).subarray(1, 3),
        bytes(5).buffer,
        new DataView(bytes(6, 7).buffer),
      ),
    expected: [[1, 2], [3, 4], [5], [6, 7]],
  },
  {
    name: 'a buffer may be changed after send',
    run: (Socket, url) => {
      const buffer = bytes(1, 2, 3);
      const answer = opened(Socket, url).then(async ([socket, ear]) => {
        socket.binaryType = 'arraybuffer';
        socket.send(buffer);
        buffer.fill(9);
        const [message] = await ear.until(1);
        socket.close();
        return [...new Uint8Array(message?.[1] as ArrayBuffer)];
      });
      return answer;
    },
    expected: [1, 2, 3],
  },
  {
    name: 'a Blob keeps its place',
    run: (Socket, url) => echo(Socket, url, 'before', new Blob([bytes(1), bytes(2)]), 'after', new Blob([]), 'last'),
    expected: ['before', [1, 2], 'after', [], 'last'],
  },
  {
    name: 'a Blob before close leaves, too',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.send(new Blob(['close 4003 by a Blob']));
      socket.send(new Blob(['x']));
      socket.send('close 4003 after Blobs');
      socket.send(new Blob(['y']));
      return (await ear.closed).filter(([type]) => type === 'close');
    },
    expected: [['close', 4003, 'after', true, 3]],
  },
  {
    name: 'binary messages are Blobs unless told otherwise, and no other value counts',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      (socket as { binaryType: string }).binaryType = 'nonsense';
      socket.send(bytes(7, 8));
      const [message] = await ear.until(1);
      socket.close();
      const data = message?.[1] as Blob;
      return [socket.binaryType, data instanceof Blob, data.type, [...new Uint8Array(await data.arrayBuffer())]];
    },
    expected: ['blob', true, '', [7, 8]],
  },
  {
    name: 'a message event says where it came from',
    run: async (Socket, url) => {
      const [socket] = await opened(Socket, url);
      const event = await new Promise<MessageEvent>((resolve) => {
        socket.onmessage = resolve;
        socket.send('x');
      });
      socket.close();
      return [event.type, event.origin === new URL(url).origin, event.lastEventId, event.target === socket];
    },
    expected: ['message', true, '', true],
  },
  {
    name: '500 messages arrive in order',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.send('count 500');
      const heard = await ear.until(500);
      socket.close();
      return heard.every(([, data], i) => data === `${i}`);
    },
    expected: true,
  },
  {
    name: 'each message is a task: promises settle between two',
    notInNode: true,
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      const order: string[] = [];
      socket.addEventListener('message', ({ data }) => {
        order.push(data as string);
        void Promise.resolve()
          .then(() => {})
          .then(() => order.push(`after ${data}`));
      });
      socket.send('count 3');
      await ear.until(3);
      await pause(10);
      socket.close();
      return order;
    },
    expected: ['0', 'after 0', '1', 'after 1', '2', 'after 2'],
  },
  {
    name: 'close without a code: 1005',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.close();
      const state = socket.readyState;
      return [state, await ear.closed];
    },
    expected: [
      2,
      [
        ['open', 1],
        ['close', 1005, '', true, 3],
      ],
    ],
  },
  {
    name: 'close with a code and a reason, which the other end says again',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.close(4001, 'bye');
      socket.close(4002, 'again');
      return (await ear.closed).at(-1);
    },
    expected: ['close', 4001, 'bye', true, 3],
  },
  {
    name: 'codes that a page may not use are InvalidAccessErrors, and long reasons SyntaxErrors',
    run: async (Socket, url) => {
      const [socket] = await opened(Socket, url);
      const codes = [0, 999, 1001, 1005, 1006, 2999, 5000, Number.NaN, 70_000];
      const names = codes.map((code) => thrown(() => socket.close(code)));
      names.push(thrown(() => socket.close(1000, 'x'.repeat(124))));
      names.push(thrown(() => socket.close(1000, 'ü'.repeat(62))));
      const state = socket.readyState;
      socket.close(1000, `${'ü'.repeat(61)}x`);
      return [new Set(names.slice(0, 9)).size, names[0], names.slice(9), state];
    },
    expected: [1, 'InvalidAccessError', ['SyntaxError', 'SyntaxError'], 1],
  },
  {
    name: 'closed by the server',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.send('close 4002 enough');
      return ear.closed;
    },
    expected: [
      ['open', 1],
      ['close', 4002, 'enough', true, 3],
    ],
  },
  {
    name: 'messages before the server’s close arrive',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.send('count 20');
      socket.send('close 4002 enough');
      return (await ear.closed).length;
    },
    expected: 22,
  },
  {
    name: 'what is sent after close counts and goes nowhere',
    notInNode: true,
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.close();
      socket.send('12345');
      socket.send(bytes(1, 2));
      await ear.closed;
      const before = socket.bufferedAmount;
      socket.send('ü');
      return [before, socket.bufferedAmount, ear.heard.length];
    },
    expected: [7, 9, 2],
  },
  {
    name: 'bufferedAmount grows with what is sent, and falls',
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      socket.binaryType = 'arraybuffer';
      for (let i = 0; i < 3; i++) socket.send(new Uint8Array(500_000));
      const grown = socket.bufferedAmount;
      await ear.until(3);
      for (let i = 0; i < 500 && socket.bufferedAmount > 0; i++) await pause(10);
      const fallen = socket.bufferedAmount;
      socket.close();
      return [grown > 400_000, fallen];
    },
    expected: [true, 0],
  },
  {
    name: 'the server’s choice of subprotocol',
    run: async (Socket, url) => {
      const [socket] = await opened(Socket, `${url}&protocol=b`, ['a', 'b']);
      socket.close();
      return socket.protocol;
    },
    expected: 'b',
  },
  {
    name: 'handlers are functions or null, and keep their place among the listeners',
    notInNode: true,
    run: async (Socket, url) => {
      const [socket, ear] = await opened(Socket, url);
      const order: string[] = [];
      (socket as { onmessage: unknown }).onmessage = 'no function';
      const none = socket.onmessage;
      socket.onmessage = () => order.push('first handler');
      socket.addEventListener('message', () => order.push('listener'));
      socket.onmessage = () => order.push('second handler');
      socket.send('x');
      await ear.until(1);
      await pause(5);
      socket.onmessage = null;
      socket.send('y');
      await ear.until(2);
      await pause(5);
      socket.close();
      return [none, order];
    },
    expected: [null, ['second handler', 'listener', 'listener']],
  },
  {
    name: 'it is an EventTarget, and says what it is',
    run: async (Socket, url) => {
      const [socket] = await opened(Socket, url);
      socket.close();
      return [socket instanceof Socket, socket instanceof EventTarget, String(socket), Socket.name];
    },
    expected: [true, true, '[object WebSocket]', 'WebSocket'],
  },
  {
    name: 'calling the class is a TypeError',
    run: (Socket, url) => thrown(() => (Socket as unknown as (url: string) => void)(url)),
    expected: 'TypeError',
  },
];

/** A server that vanishes is 1006 where it can be seen; the edge says it in a Close frame. */
export async function endOfKilled(Socket: SocketClass, url: string): Promise<unknown> {
  const [socket, ear] = await opened(Socket, url);
  socket.send('kill');
  return (await ear.closed).slice(1).map(([type, code]) => (type === 'close' ? code : type));
}

/** Offers, and gets no choice. */
export function endOfUnchosen(Socket: SocketClass, url: string): Promise<unknown> {
  return new Ear(new Socket(url, ['a'])).closed;
}
