import { describe, expect, it } from 'vitest';
import { admitClient } from './web-ui-policy.ts';

const SCRIPT = 'https://edge.example/_direct/ui.js';
const admit = (policies: string) => admitClient(policies, { script: SCRIPT, nonce: 'N' });

describe('scripts', () => {
  it.each([
    // Where nothing restricts them, nothing changes.
    ['', ''],
    ['img-src *', 'img-src *'],
    ['upgrade-insecure-requests;  frame-ancestors  x', 'upgrade-insecure-requests;  frame-ancestors  x'],
    // By address: a nonce would take away what was allowed inline.
    ["script-src 'self' 'unsafe-inline'", `script-src 'self' 'unsafe-inline' ${SCRIPT}`],
    ["script-src 'nonce-a'", `script-src 'nonce-a' ${SCRIPT}`],
    ["script-src 'sha256-x='", `script-src 'sha256-x=' ${SCRIPT}`],
    ["script-src 'none'", `script-src ${SCRIPT}`],
    ["script-src 'NONE'", `script-src ${SCRIPT}`],
    ['script-src', `script-src ${SCRIPT}`],
    ["Script-Src\t'self'", `script-src 'self' ${SCRIPT}`],
    // The first of repeated ones counts.
    ['script-src a; script-src b; img-src c', `script-src a ${SCRIPT}; script-src b; img-src c`],
    // Elements have a directive of their own.
    ["script-src 'self'; script-src-elem 'none'", `script-src 'self'; script-src-elem ${SCRIPT}`],
    ["script-src-attr 'none'", "script-src-attr 'none'"],
    // Where addresses do not count.
    ["script-src 'nonce-a' 'strict-dynamic'", "script-src 'nonce-a' 'strict-dynamic' 'nonce-N'"],
    ["script-src 'Strict-Dynamic' 'unsafe-inline'", "script-src 'Strict-Dynamic' 'unsafe-inline' 'nonce-N'"],
  ])('“%s” becomes “%s”', (policy, changed) => {
    expect(admit(policy)).toBe(changed);
  });
});

describe('connections', () => {
  it.each([
    ["connect-src 'self'", "connect-src 'self'"],
    ["connect-src 'SELF' x", "connect-src 'SELF' x"],
    ['connect-src *', 'connect-src *'],
    ["connect-src 'none'", "connect-src 'self'"],
    ['connect-src', "connect-src 'self'"],
    ['connect-src https://api.example', "connect-src https://api.example 'self'"],
    ['connect-src https:', "connect-src https: 'self'"],
  ])('“%s” becomes “%s”', (policy, changed) => {
    expect(admit(policy)).toBe(changed);
  });
});

describe('default-src', () => {
  it.each([
    ["default-src 'self'", `default-src 'self'; script-src-elem 'self' ${SCRIPT}`],
    ["default-src 'none'", `default-src 'none'; script-src-elem ${SCRIPT}; connect-src 'self'`],
    [
      "default-src 'none'; script-src 'self'; connect-src x",
      `default-src 'none'; script-src 'self' ${SCRIPT}; connect-src x 'self'`,
    ],
    ['default-src a b', `default-src a b; script-src-elem a b ${SCRIPT}; connect-src a b 'self'`],
    [
      "default-src 'strict-dynamic' 'nonce-a'",
      "default-src 'strict-dynamic' 'nonce-a'; script-src-elem 'strict-dynamic' 'nonce-a' 'nonce-N'; connect-src 'strict-dynamic' 'nonce-a' 'self'",
    ],
  ])('“%s” becomes “%s”', (policy, changed) => {
    expect(admit(policy)).toBe(changed);
  });
});

describe('several policies', () => {
  it('are changed each by itself', () => {
    expect(admit("script-src 'self', img-src *, default-src 'self'")).toBe(
      `script-src 'self' ${SCRIPT}, img-src *,default-src 'self'; script-src-elem 'self' ${SCRIPT}`,
    );
  });

  it('stay so: one more for the client opens none of the others', () => {
    expect(admit("script-src 'none', script-src 'self'").split(',')).toHaveLength(2);
  });
});
