import { expect, test } from 'vitest';
import { splitThinking, type Thought } from './thinking.ts';

test.each<[string, Thought]>([
  ['', { reasoning: '', text: '', open: false }],
  ['plain', { reasoning: '', text: 'plain', open: false }],
  ['\n<thi', { reasoning: '', text: '', open: true }],
  ['<think>\nhm', { reasoning: 'hm', text: '', open: true }],
  ['<think>\nhm\n</think>\n\nyes', { reasoning: 'hm', text: 'yes', open: false }],
  ['<think></think>yes', { reasoning: '', text: 'yes', open: false }],
  // A template that has written the first mark itself.
  ['hm\n</think>\n\nyes', { reasoning: 'hm', text: 'yes', open: false }],
  ['The mark `</think>`\nends it', { reasoning: '', text: 'The mark `</think>`\nends it', open: false }],
  ['a < b', { reasoning: '', text: 'a < b', open: false }],
  ['<thing>', { reasoning: '', text: '<thing>', open: false }],
  ['yes <think>no</think>', { reasoning: '', text: 'yes <think>no</think>', open: false }],
])('%j', (raw, thought) => {
  expect(splitThinking(raw)).toEqual(thought);
});
