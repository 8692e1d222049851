/** The ways that requests can go, in words: short for the indicator, whole sentences for who wants to know. */
import type { ClientPath } from '../client/index.ts';

export type Shown = ClientPath | 'connecting';

export interface Way {
  /** On the indicator. */
  text: string;
  /** One plain sentence. */
  sentence: string;
  /** Who can read along. */
  privacy: string;
  speed: string;
}

export const WAYS: Readonly<Record<Shown, Way>> = {
  direct: {
    text: '⚡ direct',
    sentence: 'Requests go straight from this browser to the host, with nothing between.',
    privacy: 'Encrypted from this browser to the host. The edge sees none of it.',
    speed: 'The shortest way that there is.',
  },
  turn: {
    text: '⇄ turn',
    sentence: 'Requests go to the host through a TURN server.',
    privacy: 'Encrypted from this browser to the host. The TURN server sees addresses and amounts, and nothing else.',
    speed: 'A detour by the TURN server; usually little slower than the direct way.',
  },
  relay: {
    text: '⇅ relay',
    sentence: 'Requests go to the host through the edge’s relay.',
    privacy: 'Encrypted from this browser to the host. The edge passes on what it cannot read.',
    speed: 'A detour by the edge; slower than the direct way, and each message counts towards the edge’s daily limit.',
  },
  tunnel: {
    text: '☁ tunnel',
    sentence: 'Requests go to the edge by plain HTTPS, and from there to the host.',
    privacy: 'Encrypted as far as the edge, which could read along.',
    speed: 'A detour by the edge, with a new request each time; the slowest way.',
  },
  offline: {
    text: '○ offline',
    sentence: 'The host cannot be reached just now.',
    privacy: 'Nothing reaches the host.',
    speed: 'None. This browser goes on trying by itself.',
  },
  connecting: {
    text: 'connecting…',
    sentence: 'This browser is looking for a way to the host.',
    privacy: 'Nothing was sent to the host yet.',
    speed: 'This usually takes less than a second.',
  },
};
