/**
 * What pages of web UIs do, as a table that runs twice in a browser: with the platform's own classes, and with those that
 * the injected script has changed. Both must tell the same.
 */
import { thrown } from './thrown.ts';

export interface Scope {
  XMLHttpRequest: typeof XMLHttpRequest;
  EventSource: typeof EventSource;
  WebSocket: typeof WebSocket;
  fetch: typeof fetch;
  Error: typeof Error;
}

export interface UiBehaviour {
  name: string;
  /** `at(route, query)` is an address of the fake LLM’s test routes on the page’s own origin. */
  run(scope: Scope, at: (route: string, query?: Record<string, string>) => string): unknown;
}

type Told = [who: 'xhr' | 'upload', type: string, readyState: number, ...progress: unknown[]];

const TYPES = ['loadstart', 'progress', 'load', 'loadend', 'error', 'abort', 'timeout'];

/**
 * All events until the end. Of those that come as often as bytes happen to, the first readystatechange counts and the
 * last progress, whose state differs. How long a response will be is known or not by the way it comes, unless `totals`.
 * Chromium tells the upload of the failure of a request without a body, against the standard.
 */
function listen(xhr: XMLHttpRequest, { body, totals }: Listening = {}): { told: Told[]; ended: Promise<Told[]> } {
  const told: Told[] = [];
  const ended = Promise.withResolvers<Told[]>();
  const tell = (...event: Told) => {
    const [who, type, state] = event;
    const before = told.findIndex((other) => other[0] === who && other[1] === type && other[2] === state);
    if (type === 'progress' && before >= 0) told.splice(before, 1);
    if (type !== 'readystatechange' || state !== 3 || before < 0) told.push(event);
  };
  xhr.addEventListener('readystatechange', () => tell('xhr', 'readystatechange', xhr.readyState));
  for (const [who, target] of [
    ['xhr', xhr],
    ['upload', xhr.upload],
  ] as const) {
    for (const type of TYPES) {
      target.addEventListener(type, (event) => {
        const { loaded, total, lengthComputable } = event as ProgressEvent;
        const state = type === 'progress' ? 0 : xhr.readyState;
        if (who === 'upload' ? body : totals) tell(who, type, state, loaded, total, lengthComputable);
        else if (who === 'xhr') tell(who, type, state, loaded);
        if (who === 'xhr' && type === 'loadend') ended.resolve(told);
      });
    }
  }
  return { told, ended: ended.promise };
}

interface Listening {
  body?: boolean;
  totals?: boolean;
}

interface Ask {
  method?: string;
  body?: XMLHttpRequestBodyInit | Document | null;
  fields?: Record<string, string>;
  totals?: boolean;
  prepare?(xhr: XMLHttpRequest): void;
}

function begin(scope: Scope, url: string, { method = 'GET', body, fields = {}, totals = false, prepare }: Ask = {}) {
  const xhr = new scope.XMLHttpRequest();
  const { told, ended } = listen(xhr, { body: body != null, totals });
  xhr.open(method, url);
  for (const [name, value] of Object.entries(fields)) xhr.setRequestHeader(name, value);
  prepare?.(xhr);
  xhr.send(body);
  return { xhr, told, ended };
}

/** The header fields that the upstream saw. */
async function seen(scope: Scope, url: string, ask: Ask, ...names: string[]) {
  const { xhr, ended } = begin(scope, url, { method: 'POST', ...ask });
  await ended;
  const echo = JSON.parse(xhr.responseText) as { headers: [string, string][]; bodyLength: number; sha256: string };
  const fields = echo.headers.filter(([name]) => names.includes(name.toLowerCase())).map(([, value]) => value);
  return { fields, bodyLength: echo.bodyLength, sha256: echo.sha256 };
}

/** Not the reason phrase, which HTTP/2 has not. */
const of = (xhr: XMLHttpRequest) => ({
  readyState: xhr.readyState,
  status: xhr.status,
  type: xhr.getResponseHeader('Content-Type'),
});

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251);

const BODIES: [name: string, make: () => Ask][] = [
  ['text', () => ({ body: 'grüße' })],
  ['no text', () => ({ body: '' })],
  ['null', () => ({ body: null })],
  ['bytes', () => ({ body: bytes(1000) })],
  ['a Blob', () => ({ body: new Blob(['x'], { type: 'image/x-test' }) })],
  ['a Blob without a type', () => ({ body: new Blob(['x']) })],
  ['URLSearchParams', () => ({ body: new URLSearchParams({ a: 'ü b', c: '&' }) })],
  ['an HTML document', () => ({ body: new DOMParser().parseFromString('<p>ü', 'text/html') })],
  ['an XML document', () => ({ body: new DOMParser().parseFromString('<a>ü</a>', 'text/xml') })],
  ['text with another charset', () => ({ body: 'ü', fields: { 'Content-Type': 'text/x-own; charset=latin1' } })],
  ['text with a type', () => ({ body: '{}', fields: { 'content-type': 'application/json' } })],
  ['bytes with a type', () => ({ body: bytes(3), fields: { 'content-type': 'text/x; charset=latin1' } })],
];

const RESPONSES: [name: string, query: Record<string, string>, type: XMLHttpRequestResponseType, override?: string][] =
  [
    ['JSON', { type: 'application/json', text: '{"a":[1]}' }, 'json'],
    ['JSON that is none', { type: 'application/json', text: '{' }, 'json'],
    ['JSON with a byte order mark', { hex: 'efbbbf7b7d' }, 'json'],
    ['text in Latin-1', { type: 'text/plain; charset=iso-8859-1', hex: 'fc' }, 'text'],
    ['text in nothing known', { type: 'text/plain; charset=none', hex: 'c3bc' }, ''],
    ['text with a byte order mark', { type: 'text/plain; charset=iso-8859-1', hex: 'efbbbfc3bc' }, ''],
    ['text overridden', { type: 'text/plain', hex: 'fc' }, 'text', 'text/plain; charset=windows-1252'],
    ['text in quotes', { type: 'text/plain;charset="iso-8859-1"', hex: 'fc' }, ''],
    ['bytes', { hex: '0001ff' }, 'arraybuffer'],
    ['no bytes', {}, 'arraybuffer'],
    ['a Blob', { type: 'image/png', hex: '0001ff' }, 'blob'],
    ['a Blob with parameters', { type: 'text/plain; charset=utf-8', text: 'x' }, 'blob'],
    ['a Blob without a type', { text: 'x' }, 'blob'],
    ['a Blob overridden', { type: 'text/plain', text: 'x' }, 'blob', 'image/gif'],
    ['XML', { type: 'application/xml', text: '<a>ü</a>' }, ''],
    ['XML of another name', { type: 'image/svg+xml; charset=utf-8', text: '<svg/>' }, 'document'],
    ['XML that is none', { type: 'text/xml', text: '<a>' }, ''],
    ['XML overridden', { type: 'text/plain', text: '<a/>' }, '', 'text/xml'],
    ['HTML', { type: 'text/html; charset=utf-8', text: '<p>ü' }, ''],
    ['an HTML document', { type: 'text/html; charset=utf-8', text: '<p>ü' }, 'document'],
    ['no document', { type: 'text/plain', text: 'x' }, 'document'],
    ['an empty document', { type: 'text/html' }, 'document'],
  ];

async function formOf(response: unknown): Promise<unknown> {
  if (response instanceof ArrayBuffer) return ['buffer', ...new Uint8Array(response)];
  if (response instanceof Blob) return ['blob', response.type, await response.text()];
  if (Object.prototype.toString.call(response).endsWith('Document]')) {
    const document = response as Document;
    return ['document', document.contentType, new XMLSerializer().serializeToString(document)];
  }
  // Of another window.
  const named = response as { constructor?: { name?: string }; text?(): Promise<string>; type?: string } | null;
  if (named?.constructor?.name === 'ArrayBuffer') return ['buffer', ...new Uint8Array(response as ArrayBuffer)];
  if (named?.constructor?.name === 'Blob') return ['blob', named.type, await named.text?.()];
  return response;
}

export const BEHAVIOURS: readonly UiBehaviour[] = [
  ...BODIES.map(([name, make]) => ({
    name: `XMLHttpRequest sends ${name}`,
    run: async (scope: Scope, at: (route: string) => string) => [
      await seen(scope, at('echo'), make(), 'content-type', 'content-length'),
      await begin(scope, at('echo'), { method: 'POST', ...make() }).ended.then((told) =>
        // Of a text without characters Chromium tells the beginning only, against the standard.
        told.filter(([who, type]) => who === 'upload' && type !== 'progress' && name !== 'no text'),
      ),
    ],
  })),
  ...RESPONSES.map(([name, query, type, override]) => ({
    name: `XMLHttpRequest receives ${name}`,
    run: async (scope: Scope, at: (route: string, query: Record<string, string>) => string) => {
      const { xhr, ended } = begin(scope, at('say', query), {
        prepare: (xhr) => {
          xhr.responseType = type;
          if (override !== undefined) xhr.overrideMimeType(override);
        },
      });
      const early = [await formOf(xhr.response), xhr.readyState];
      await ended;
      const text = thrown(() => xhr.responseText);
      const xml = thrown(() => xhr.responseXML);
      const document = xml === 'nothing' ? await formOf(xhr.responseXML) : undefined;
      const [once, again]: unknown[] = [xhr.response, xhr.response];
      // Chromium makes JSON anew each time, against the standard.
      const isSame = type === 'json' || Object.is(once, again);
      return { early, response: await formOf(xhr.response), text, xml, document, isSame, ...of(xhr) };
    },
  })),
  {
    name: 'XMLHttpRequest: events of a GET',
    run: async (scope, at) => {
      const { xhr, told, ended } = begin(scope, at('bytes', { n: '100000' }), { totals: true });
      const sync = [...told];
      await ended;
      return { sync, told, ...of(xhr), length: xhr.response.length };
    },
  },
  {
    name: 'XMLHttpRequest: events of an empty response',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, at('say', { status: '204' }));
      return [await ended, of(xhr)];
    },
  },
  {
    name: 'XMLHttpRequest: events of a HEAD',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, at('bytes', { n: '1000' }), { method: 'HEAD', totals: true });
      return [await ended, of(xhr)];
    },
  },
  {
    name: 'XMLHttpRequest: events of a POST',
    run: async (scope, at) => {
      const { xhr, told, ended } = begin(scope, at('sink'), { method: 'POST', body: bytes(2_000_000) });
      const sync = [...told];
      await ended;
      return { sync, told: told.filter(([who]) => who === 'xhr'), ...of(xhr), text: xhr.responseText };
    },
  },
  {
    name: 'XMLHttpRequest: events of an upload, in order, with all bytes',
    run: async (scope, at) => {
      const { ended } = begin(scope, at('sink'), { method: 'POST', body: bytes(2_000_000) });
      return (await ended).filter(([who]) => who === 'upload').filter(([, type]) => type !== 'progress');
    },
  },
  {
    name: 'XMLHttpRequest: a form',
    run: async (scope, at) => {
      const form = new FormData();
      form.append('a "quoted"\nname', 'two\nlines\r\nand\rmore');
      form.append('file', new File(['contents'], 'ü "x".txt', { type: 'text/x-test' }));
      form.append('blob', new Blob(['b']));
      const { bodyLength, fields } = await seen(scope, at('echo'), { body: form }, 'content-type');
      // Boundaries are random, and of any length.
      const boundary = /^multipart\/form-data; boundary=(.+)$/.exec(fields[0] ?? '')?.[1]?.length ?? 0;
      return bodyLength - boundary * 4;
    },
  },
  {
    name: 'XMLHttpRequest: responseText while it comes',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, at('trickle', { n: '5', ms: '80' }));
      const texts = new Set<string>();
      xhr.addEventListener('progress', () => texts.add(xhr.responseText));
      await ended;
      const last = [...texts].at(-1) ?? '';
      return [last, [...texts].every((text) => last.startsWith(text))];
    },
  },
  {
    name: 'XMLHttpRequest: header fields of the response',
    run: async (scope, at) => {
      const { xhr, told, ended } = begin(scope, at('say', { type: 'text/x', field: 'X-Own: a', status: '404' }));
      const before = [xhr.getAllResponseHeaders(), xhr.getResponseHeader('x-own')];
      await ended;
      const all = xhr.getAllResponseHeaders();
      const names = all
        .split('\r\n')
        .map((line) => line.split(': ')[0])
        .filter((name) => name === 'x-own' || name === 'content-type');
      const missing = [
        xhr.getResponseHeader('none'),
        xhr.getResponseHeader('no name'),
        xhr.getResponseHeader('set-cookie'),
      ];
      return {
        before,
        names,
        ends: all.endsWith('\r\n'),
        own: xhr.getResponseHeader('X-OWN'),
        missing,
        told,
        ...of(xhr),
      };
    },
  },
  {
    name: 'XMLHttpRequest: header fields of the request',
    run: (scope, at) =>
      seen(
        scope,
        at('echo'),
        { body: 'x', fields: { 'X-Own': 'a', 'x-own': ' b ', accept: 'text/x' } },
        'x-own',
        'accept',
      ).then(({ fields }) => fields),
  },
  {
    name: 'XMLHttpRequest: a forbidden field is left out, a malformed one throws',
    run: async (scope, at) => {
      const xhr = new scope.XMLHttpRequest();
      const early = thrown(() => xhr.setRequestHeader('a', 'b'));
      xhr.open('POST', at('echo'));
      const bad = [thrown(() => xhr.setRequestHeader('a b', 'c')), thrown(() => xhr.setRequestHeader('a', 'b\nc'))];
      xhr.setRequestHeader('cookie2', 'x');
      const { ended } = listen(xhr);
      xhr.send();
      const late = thrown(() => xhr.setRequestHeader('a', 'b'));
      await ended;
      return [early, bad, late, xhr.responseText.includes('cookie2'), thrown(() => xhr.setRequestHeader('a', 'b'))];
    },
  },
  {
    name: 'XMLHttpRequest: wrong methods and addresses',
    run: (scope, at) => {
      const xhr = new scope.XMLHttpRequest();
      return [
        thrown(() => xhr.open('A B', at('echo'))),
        thrown(() => xhr.open('CONNECT', at('echo'))),
        thrown(() => xhr.open('GET', 'http://')),
        thrown(() => (xhr.open as (method: string) => void)('GET')),
        thrown(() => xhr.send()),
        xhr.readyState,
      ];
    },
  },
  {
    name: 'XMLHttpRequest: the method’s case',
    run: async (scope, at) => {
      const methods: string[] = [];
      for (const method of ['post', 'Put', 'PATCH', 'delete']) {
        const { xhr, ended } = begin(scope, at('echo'), { method });
        await ended;
        methods.push((JSON.parse(xhr.responseText) as { method: string }).method);
      }
      return methods;
    },
  },
  {
    name: 'XMLHttpRequest: what may not be changed after send',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, at('trickle', { n: '3', ms: '80' }));
      const sent = [
        thrown(() => xhr.send()),
        thrown(() => {
          xhr.withCredentials = true;
        }),
        thrown(() => {
          xhr.responseType = 'json';
          xhr.responseType = '';
        }),
        thrown(() => xhr.overrideMimeType('text/plain')),
      ];
      await new Promise((resolve) => xhr.addEventListener('progress', resolve, { once: true }));
      const loading = [
        thrown(() => {
          xhr.responseType = 'json';
        }),
        thrown(() => xhr.overrideMimeType('text/plain')),
      ];
      await ended;
      const done = [
        thrown(() => {
          xhr.responseType = 'json';
        }),
        thrown(() => xhr.send()),
        thrown(() => {
          xhr.withCredentials = true;
        }),
        thrown(() => {
          xhr.timeout = 5;
        }),
      ];
      return { sent, loading, done };
    },
  },
  {
    name: 'XMLHttpRequest: abort before the response',
    run: async (scope, at) => {
      const { xhr, told } = begin(scope, at('hang'), { method: 'POST', body: 'x' });
      xhr.abort();
      return { told, ...of(xhr), again: thrown(() => xhr.abort()) };
    },
  },
  {
    name: 'XMLHttpRequest: abort in its middle',
    run: async (scope, at) => {
      const { xhr, told } = begin(scope, at('trickle', { n: '50', ms: '20' }));
      await new Promise((resolve) => xhr.addEventListener('progress', resolve, { once: true }));
      told.splice(0);
      xhr.abort();
      return { types: told.map(([who, type, state]) => [who, type, state]), ...of(xhr), text: xhr.responseText };
    },
  },
  {
    name: 'XMLHttpRequest: abort at the end',
    run: async (scope, at) => {
      const { xhr, told, ended } = begin(scope, at('say', { text: 'x' }));
      await ended;
      told.splice(0);
      xhr.abort();
      return { told, ...of(xhr), text: xhr.responseText, headers: xhr.getAllResponseHeaders() };
    },
  },
  {
    name: 'XMLHttpRequest: abort in an event',
    run: async (scope, at) => {
      const { xhr, told, ended } = begin(scope, at('say', { text: 'x' }), {
        prepare: (xhr) => {
          xhr.onreadystatechange = () => {
            if (xhr.readyState === 2) xhr.abort();
          };
        },
      });
      await ended;
      return { told, ...of(xhr) };
    },
  },
  {
    name: 'XMLHttpRequest: a timeout',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, at('hang'), {
        prepare: (xhr) => {
          xhr.timeout = 100;
        },
      });
      return { told: await ended, ...of(xhr) };
    },
  },
  {
    name: 'XMLHttpRequest: a timeout that comes later, and one that is taken back',
    run: async (scope, at) => {
      const first = begin(scope, at('hang'));
      first.xhr.timeout = 50;
      const second = begin(scope, at('trickle', { n: '4', ms: '50' }), {
        prepare: (xhr) => {
          xhr.timeout = 60;
        },
      });
      second.xhr.timeout = 0;
      const [told] = await Promise.all([first.ended, second.ended]);
      return [told.at(-2)?.[1], second.xhr.status];
    },
  },
  {
    name: 'XMLHttpRequest: used again, after its end and in its middle',
    run: async (scope, at) => {
      const { xhr, told, ended } = begin(scope, at('say', { text: 'first' }));
      await ended;
      const first = told.splice(0).map(([, type, state]) => [type, state]);
      const again = () => new Promise((resolve) => xhr.addEventListener('loadend', resolve, { once: true }));
      xhr.open('GET', at('trickle', { n: '50', ms: '20' }));
      const opened = [xhr.readyState, xhr.responseText, xhr.status];
      xhr.send();
      await new Promise((resolve) => xhr.addEventListener('progress', resolve, { once: true }));
      xhr.open('GET', at('say', { text: 'last' }));
      const reopened = [xhr.readyState, xhr.responseText, xhr.status];
      xhr.send();
      await again();
      const rest = told.map(([, type, state]) => [type, state]).filter(([type]) => type !== 'progress');
      return { first, rest, opened, reopened, text: xhr.responseText };
    },
  },
  {
    name: 'XMLHttpRequest: opened twice',
    run: async (scope, at) => {
      const xhr = new scope.XMLHttpRequest();
      const { told, ended } = listen(xhr);
      xhr.open('GET', at('say', { text: 'first' }));
      xhr.open('GET', at('say', { text: 'second' }));
      xhr.send();
      await ended;
      return [told, xhr.responseText];
    },
  },
  {
    name: 'XMLHttpRequest: a redirect is followed, and its end is the response’s address',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, at('redirect', { to: '/v1/test/say?text=there' }));
      await ended;
      return [xhr.responseText, new URL(xhr.responseURL).pathname];
    },
  },
  {
    name: 'XMLHttpRequest: the fragment is no part of the response’s address',
    run: async (scope, at) => {
      const { xhr, ended } = begin(scope, `${at('say', { text: 'x' })}#fragment`);
      await ended;
      return xhr.responseURL.includes('#');
    },
  },
  {
    name: 'XMLHttpRequest: synchronous',
    run: (scope, at) => {
      const xhr = new scope.XMLHttpRequest();
      xhr.open('GET', at('say', { text: 'at once' }), false);
      xhr.send();
      return [xhr.status, xhr.responseText, xhr.readyState];
    },
  },
  {
    name: 'XMLHttpRequest: handler attributes, and what the class looks like',
    run: async (scope, at) => {
      const xhr = new scope.XMLHttpRequest();
      const order: string[] = [];
      xhr.onload = () => order.push('onload');
      xhr.onloadend = function () {
        order.push(String(this === xhr));
      };
      xhr.upload.onload = () => order.push('upload.onload');
      xhr.open('POST', at('sink'));
      xhr.send('x');
      await new Promise((resolve) => setTimeout(() => xhr.addEventListener('loadend', resolve), 0));
      return {
        order,
        is: [xhr instanceof scope.XMLHttpRequest, String(xhr), String(xhr.upload)],
        keys: Object.keys(xhr),
        members: describeMembers(scope.XMLHttpRequest.prototype),
        constants: [scope.XMLHttpRequest.DONE, xhr.LOADING],
        call: thrown(() => (scope.XMLHttpRequest as unknown as () => void)()),
        illegal: thrown(() => Reflect.get(scope.XMLHttpRequest.prototype, 'status')),
      };
    },
  },
  {
    name: 'XMLHttpRequest: subclasses and changed prototypes',
    run: async (scope, at) => {
      const calls: string[] = [];
      class Own extends scope.XMLHttpRequest {
        override open(method: string, url: string | URL) {
          calls.push('open');
          super.open(method, url);
        }
        override send(body?: XMLHttpRequestBodyInit) {
          calls.push('send');
          super.send(body);
        }
      }
      const xhr = new Own();
      const { ended } = listen(xhr);
      xhr.open('GET', at('say', { text: 'own' }));
      xhr.send();
      await ended;
      return [calls, xhr.responseText, xhr instanceof Own];
    },
  },
  {
    name: 'EventSource: events, ids and reconnections',
    run: (scope, at) =>
      new Promise((resolve) => {
        const heard: unknown[] = [];
        const source = new scope.EventSource(at('events'));
        heard.push(source.readyState, source.withCredentials, source.url === new URL(at('events'), location.href).href);
        source.onopen = () => heard.push(['open', source.readyState]);
        source.onerror = () => heard.push(['error', source.readyState]);
        source.onmessage = ({ data, lastEventId, origin, type }) => {
          heard.push([type, data, lastEventId, origin === location.origin, source.readyState]);
          if (lastEventId !== '3') return;
          source.close();
          heard.push(source.readyState);
          setTimeout(() => resolve(heard), 200);
        };
      }),
  },
  {
    name: 'EventSource: named events, several lines and comments',
    run: (scope, at) =>
      new Promise((resolve) => {
        const text = ': hi\r\nevent: own\ndata: a\ndata:  b\n\nevent: none\n\ndata\n\nid\ndata:c\rretry: 1000\r\r';
        const source = new scope.EventSource(at('say', { type: 'text/event-stream; charset=utf-8', text }));
        const heard: unknown[] = [];
        for (const type of ['own', 'none', 'message']) {
          source.addEventListener(type, (event) => heard.push([type, (event as MessageEvent).data]));
        }
        source.onerror = () => {
          heard.push(source.readyState);
          source.close();
          resolve(heard);
        };
      }),
  },
  ...(
    [
      ['another status', { status: '500', type: 'text/event-stream' }],
      ['no content', { status: '204' }],
      ['another type', { type: 'text/plain', text: 'data: x\n\n' }],
    ] as const
  ).map(([name, query]) => ({
    name: `EventSource: ${name} is the end`,
    run: (scope: Scope, at: (route: string, query: Record<string, string>) => string) =>
      new Promise((resolve) => {
        const source = new scope.EventSource(at('say', query));
        const heard: unknown[] = [];
        source.onopen = () => heard.push('open');
        source.onerror = () => {
          heard.push('error', source.readyState);
          setTimeout(() => resolve(heard), 100);
        };
      }),
  })),
  {
    name: 'EventSource: what the class looks like',
    run: (scope, at) => {
      const source = new scope.EventSource(at('events'), { withCredentials: true });
      source.close();
      return {
        is: [source instanceof scope.EventSource, String(source), source.withCredentials, source.onmessage],
        constants: [scope.EventSource.CLOSED, source.OPEN],
        members: describeMembers(scope.EventSource.prototype),
        call: thrown(() => (scope.EventSource as unknown as (url: string) => void)(at('events'))),
        wrong: thrown(() => new scope.EventSource('http://')),
        name: [scope.EventSource.name, scope.EventSource.length, scope.EventSource.prototype.constructor.name],
      };
    },
  },
  {
    name: 'WebSocket: messages, close, and what the class looks like',
    run: (scope, at) =>
      new Promise((resolve) => {
        const socket = new scope.WebSocket(at('socket').replace(/^http/, 'ws'));
        const heard: unknown[] = [socket.readyState];
        socket.binaryType = 'arraybuffer';
        socket.onopen = () => {
          heard.push('open');
          socket.send('hi');
        };
        socket.onmessage = ({ data }) => {
          heard.push(data);
          socket.close(4000, 'done');
        };
        socket.onclose = ({ code, reason, wasClean }) => {
          heard.push([code, reason, wasClean]);
          resolve({
            heard,
            is: [socket instanceof scope.WebSocket, String(socket), socket.url.startsWith('ws')],
            constants: [scope.WebSocket.OPEN, socket.CLOSED],
            members: describeMembers(scope.WebSocket.prototype),
            call: thrown(() => (scope.WebSocket as unknown as (url: string) => void)(at('socket'))),
            wrong: thrown(() => new scope.WebSocket('ftp://x/')),
            name: [scope.WebSocket.name, scope.WebSocket.length, scope.WebSocket.prototype.constructor.name],
            same: socket.constructor === scope.WebSocket,
          });
        };
      }),
  },
  {
    name: 'WebSocket: subclasses',
    run: (scope, at) =>
      new Promise((resolve) => {
        class Own extends scope.WebSocket {
          own = 'kept';
        }
        const socket = new Own(at('socket').replace(/^http/, 'ws'));
        socket.onopen = () => {
          socket.close();
          resolve([socket instanceof Own, socket.own, socket.readyState]);
        };
      }),
  },
  {
    name: 'fetch: a response, and what the function looks like',
    run: async (scope, at) => {
      const response = await scope.fetch(at('say', { type: 'text/x', text: 'x', status: '201' }));
      const { status, ok, type, redirected } = response;
      const descriptor = Object.getOwnPropertyDescriptor(scope, 'fetch');
      return {
        ...{ status, ok, type, redirected, text: await response.text() },
        ...{ name: scope.fetch.name, length: scope.fetch.length, text2: String(scope.fetch).includes('[native code]') },
        flags: [descriptor?.writable, descriptor?.enumerable, descriptor?.configurable],
        new: thrown(() => new (scope.fetch as unknown as new () => object)()),
        none: await (scope.fetch as unknown as () => Promise<never>)().catch((error: Error) => error.name),
        invalid: await scope.fetch('http://').catch((error: Error) => error.name),
      };
    },
  },
  {
    name: 'fetch: a Request with a form',
    run: async (scope, at) => {
      const body = new URLSearchParams({ a: 'b' });
      const request = new Request(at('echo'), { method: 'POST', body });
      const echo = (await (await scope.fetch(request)).json()) as { headers: [string, string][]; method: string };
      const names = ['content-type', 'content-length'];
      return [
        echo.method,
        echo.headers.filter(([name]) => names.includes(name.toLowerCase())).map(([, value]) => value),
      ];
    },
  },
  {
    name: 'fetch: aborted',
    run: (scope, at) => {
      const abort = new AbortController();
      setTimeout(() => abort.abort(), 50);
      return scope.fetch(at('hang'), { signal: abort.signal }).catch((error: Error) => error.name);
    },
  },
];

/** Names, lengths and flags of a prototype’s members. */
function describeMembers(prototype: object): unknown {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .map(([name, { value, get, set, writable, enumerable, configurable }]) => {
      const functions = [value, get, set].map((each) => typeof each === 'function' && [each.name, each.length]);
      return [name, functions, writable, enumerable, configurable];
    })
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}
