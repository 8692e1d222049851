/** `fetch` for the client on a laptop: Node's own gives up when a model thinks for five minutes. */
import { Agent, fetch as undiciFetch } from 'undici';

/** Connections that stay open for the next request. `close` ends them. */
export function patientFetch(): { fetch(request: Request): Promise<Response>; close(): Promise<void> } {
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  return {
    fetch: async (request) => {
      const { method, body, redirect, signal } = request;
      // By its parts: the Request of another copy of the library is none to this one.
      const response = await undiciFetch(request.url, {
        method,
        headers: [...request.headers],
        body,
        redirect,
        signal,
        duplex: 'half',
        dispatcher,
      });
      // The same class of another copy; the types differ in their names only.
      return response as unknown as Response;
    },
    close: () => dispatcher.destroy(),
  };
}
