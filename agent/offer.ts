/** What an offer must be before a library sees it, whichever that is. */

export interface Offer {
  readonly mid: string;
  readonly ufrag: string;
  readonly password: string;
  /** Of the client's certificate: algorithm and bytes in hexadecimal, as the SDP has it. */
  readonly fingerprint: string;
  readonly sctpPort: number;
  readonly maxMessageBytes: number;
  /** `candidate:…`, as they came. */
  readonly candidates: readonly string[];
}

/** RFC 8839, section 5.4: each check carries the user name, so a long one would make small packets large. */
const ATTRIBUTES: readonly (readonly [name: string, form: RegExp])[] = [
  ['ice-ufrag', /^[A-Za-z0-9+/]{4,256}$/],
  ['ice-pwd', /^[A-Za-z0-9+/]{22,256}$/],
  ['fingerprint', /^\S/],
];

/** RFC 8841, section 6.1. */
const DEFAULT_MAX_MESSAGE_BYTES = 65_536;

/**
 * One data-channel section with ICE credentials and a fingerprint is all that our clients offer. What else an SDP may
 * hold makes werift allocate: a transport and transceivers for each section.
 * @throws Error that says what is wrong with it
 */
export function checkOffer(sdp: string): void {
  const sections = sdp.match(/^m=.*$/gm) ?? [];
  if (sections.length !== 1 || !/^m=application \d+ UDP\/DTLS\/SCTP webrtc-datachannel\s*$/.test(sections[0] ?? '')) {
    throw new Error('the offer must have one section, for a data channel');
  }
  for (const [attribute, form] of ATTRIBUTES) {
    const values = valuesOf(sdp, attribute);
    if (values.length === 0 || !values.every((value) => form.test(value))) {
      throw new Error(`the offer has no usable ${attribute}`);
    }
  }
}

/** What a connection is made of: of an SDP that a stranger wrote, a library in C++ gets nothing else. @throws Error */
export function readOffer(sdp: string): Offer {
  checkOffer(sdp);
  const [mid = '0', ufrag = '', password = ''] = ['mid', 'ice-ufrag', 'ice-pwd'].map((name) => valuesOf(sdp, name)[0]);
  const fingerprints = valuesOf(sdp, 'fingerprint').filter((value) => /^sha-\d{1,3} [0-9A-F:]{1,200}$/i.test(value));
  const fingerprint = fingerprints.find((value) => /^sha-256 /i.test(value)) ?? fingerprints[0];
  if (fingerprint === undefined) throw new Error('the offer has no usable fingerprint');
  if (!/^[\w-]{1,32}$/.test(mid)) throw new Error('the offer has no usable mid');
  const number = (name: string, fallback: number) => {
    const value = valuesOf(sdp, name)[0];
    return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : fallback;
  };
  const sctpPort = number('sctp-port', 5000);
  if (sctpPort < 1 || sctpPort > 65_535) throw new Error('the offer has no usable sctp-port');
  return {
    mid,
    ufrag,
    password,
    fingerprint,
    sctpPort,
    maxMessageBytes: number('max-message-size', DEFAULT_MAX_MESSAGE_BYTES),
    candidates: sdp.split(/\r?\n/).filter((line) => line.startsWith('a=candidate:')),
  };
}

function valuesOf(sdp: string, attribute: string): string[] {
  return [...sdp.matchAll(new RegExp(`^a=${attribute}:(.*?)\\r?$`, 'gm'))].map(([, value = '']) => value);
}
