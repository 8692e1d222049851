import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { laterPart } from './later-part.ts';
import { Notices, noticeOf } from './notices.tsx';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const text = (notices: Notices) => notices.store.state.notice?.text;

test('what stays comes back after what goes by itself, until a person closes it', () => {
  const notices = new Notices();
  notices.show({ text: 'nothing is kept', stays: true });
  notices.show({ text: '3 conversations imported' });
  expect(text(notices)).toBe('3 conversations imported');
  vi.advanceTimersByTime(10_000);
  expect(text(notices)).toBe('nothing is kept');
  notices.close();
  expect(text(notices)).toBeUndefined();
});

test('a part that the edge has no more is said with what helps', async () => {
  const failed = laterPart(() => Promise.reject(new TypeError('Failed to fetch dynamically imported module')));
  const notice = noticeOf(await failed.catch((error: unknown) => error));
  expect(notice).toMatchObject({ action: { label: 'Reload' }, stays: true });
  expect(notice.text).toContain('Reload the page');
  expect(noticeOf('At most 8 files')).toEqual({ text: 'At most 8 files' });
});
