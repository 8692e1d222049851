/** Times, for people. */
import { h } from './element.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 365 * DAY],
  ['month', 30 * DAY],
  ['week', 7 * DAY],
  ['day', DAY],
  ['hour', HOUR],
  ['minute', MINUTE],
];

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayAndClock = new Intl.DateTimeFormat('en', {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});
const absolute = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });

/** `3 hours ago`, `in 2 days`, `just now`; both in ms since 1970. */
export function relativeTime(at: number, now: number): string {
  const difference = at - now;
  for (const [unit, length] of UNITS) {
    if (Math.abs(difference) >= length) return relative.format(Math.trunc(difference / length), unit);
  }
  return difference > 0 ? 'in less than a minute' : 'just now';
}

/** `09:12` today, with the day before that. */
export function clockTime(at: number, now: number): string {
  const today = new Date(at).toDateString() === new Date(now).toDateString();
  return (today ? clock : dayAndClock).format(at);
}

/** `4:59`, for a wait in seconds. */
export function countdown(seconds: number): string {
  const left = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
}

/** `one key`, `2 keys`, `no keys` */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count === 0 ? 'no' : count === 1 ? 'one' : count} ${count === 1 ? one : many}`;
}

/** A time in few words, with the whole of it for those who point at it. */
export function timeElement(at: number, now: number): HTMLTimeElement {
  const title = absolute.format(at);
  return h('time', { datetime: new Date(at).toISOString(), title }, relativeTime(at, now));
}
