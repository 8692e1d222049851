/** What XMLHttpRequest sends, with a length that is known at once (WHATWG XMLHttpRequest, section 4.5.6). */

import { copiedBytes } from '../client/copied-bytes.ts';

export interface XhrBody {
  source: string | Uint8Array<ArrayBuffer> | Blob;
  size: number;
  /** The Content-Type that goes with it; null: none of its own. */
  type: string | null;
  /** A charset that the page has named for it must be its own: UTF-8. */
  isText: boolean;
}

/** What is longer goes as a Blob, which leaves in pieces, so that there is progress to tell. */
const MAX_WHOLE_BYTES = 64 * 1024;

/** Undefined: no body. */
export function xhrBody(given: unknown): XhrBody | undefined {
  if (given === null || given === undefined) return undefined;
  // Not `instanceof`: a frame may have made it.
  const tag = Object.prototype.toString.call(given).slice('[object '.length, -1);
  if (tag === 'Blob' || tag === 'File') {
    const source = given as Blob;
    return { source, size: source.size, type: source.type === '' ? null : source.type, isText: false };
  }
  const bytes = copiedBytes(given);
  if (bytes !== undefined) return bytesBody(bytes, null);
  if (tag === 'FormData') return formBody(given as FormData);
  if (tag === 'URLSearchParams') {
    const type = 'application/x-www-form-urlencoded;charset=UTF-8';
    return bytesBody(new TextEncoder().encode(String(given)), type);
  }
  if (tag.endsWith('Document')) {
    const document = given as Document;
    if (document.contentType === 'text/html') return textBody(html(document), 'text/html;charset=UTF-8');
    return textBody(new XMLSerializer().serializeToString(document), 'application/xml;charset=UTF-8');
  }
  return textBody(String(given), 'text/plain;charset=UTF-8');
}

/** As HTML is written, and not as XML. */
function html(document: Document): string {
  const container = document.createElement('template');
  const nodes = [...document.childNodes].filter((node) => node !== document.doctype);
  container.content.append(...nodes.map((node) => document.importNode(node, true)));
  const doctype = document.doctype === null ? '' : `<!DOCTYPE ${document.doctype.name}>`;
  return doctype + container.innerHTML;
}

function textBody(text: string, type: string): XhrBody {
  return { ...bytesBody(new TextEncoder().encode(text), type), isText: true };
}

function bytesBody(bytes: Uint8Array<ArrayBuffer>, type: string | null): XhrBody {
  return {
    source: bytes.length > MAX_WHOLE_BYTES ? new Blob([bytes]) : bytes,
    size: bytes.length,
    type,
    isText: false,
  };
}

/** multipart/form-data (RFC 7578), as in HTML, section 4.10.21.8. */
function formBody(form: FormData): XhrBody {
  const boundary = `----FormBoundary${crypto.randomUUID().replaceAll('-', '')}`;
  const parts: BlobPart[] = [];
  for (const [name, value] of form) {
    const disposition = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(lines(name))}"`;
    if (typeof value === 'string') {
      parts.push(`${disposition}\r\n\r\n${lines(value)}\r\n`);
    } else {
      const type = value.type === '' ? 'application/octet-stream' : value.type;
      parts.push(`${disposition}; filename="${quoted(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`, value, '\r\n');
    }
  }
  parts.push(`--${boundary}--\r\n`);
  const source = new Blob(parts);
  return { source, size: source.size, type: `multipart/form-data; boundary=${boundary}`, isText: false };
}

function quoted(name: string): string {
  return name.replaceAll('\n', '%0A').replaceAll('\r', '%0D').replaceAll('"', '%22');
}

function lines(text: string): string {
  return text.replace(/\r\n|\r|\n/g, '\r\n');
}
