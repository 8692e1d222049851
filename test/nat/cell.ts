/** One cell of the matrix: a client in one network and a host in another, and how they came together. */
import type { Browser, Page } from 'playwright-core';
import type { PathKind } from '../../shared/path.ts';
import type { Client } from '../../web/client/index.ts';
import { openLibraryPage } from '../client-page.ts';
import { countedTokens } from '../fake-answers.ts';
import { OWNER_TOKEN } from '../stack.ts';
import type { Machine, Traffic } from './nat-lab.ts';
import type { Host, NatStack } from './nat-stack.ts';

export interface CellResult {
  expected: PathKind;
  /** Which way the answer came; undefined: none came. */
  actual: PathKind | undefined;
  /** From the call of `connect` until the client used that path, in ms. */
  ms: number | undefined;
  /** What is wrong; undefined: nothing. */
  problem: string | undefined;
  /** What the page and the agent logged meanwhile. */
  log: string;
}

declare global {
  // Set in the page by `openCell`.
  var pathsTaken: { path: Client['path']; ms: number }[];
}

/** Until the expected path is there, or all that may come instead. */
const SETTLES_WITHIN_MS = 25_000;
/** Until both ends send by the pair that is called the path. */
const AGREES_WITHIN_MS = 5_000;
/** So many that the answer's bytes show which way they came, among those of signaling and ICE. */
const TOKENS = 20_000;
const ANSWER = countedTokens(TOKENS).join('');

/** Opens the edge's client in a fresh page, waits for the path, and asks one question over it. */
export async function runCell(
  stack: NatStack,
  browser: Browser,
  machine: Machine,
  host: Host,
  expected: PathKind,
): Promise<CellResult> {
  const before = host.log.length;
  const lines: string[] = [];
  const result: CellResult = { expected, actual: undefined, ms: undefined, problem: undefined, log: '' };
  let page: Page | undefined;
  try {
    const opened = await openLibraryPage(browser, { origin: stack.origin(machine) }, '?webrtc_diag=1');
    page = opened.page;
    page.on('console', (message) => lines.push(message.text()));
    await connect(page, host.hostId);
    await settle(page, expected);
    const deadline = Date.now() + AGREES_WITHIN_MS;
    let asked = await ask(page, stack, machine);
    // Each end changes to a better pair when it hears that this works, which is not the same moment for both.
    while (asked.problem !== undefined && Date.now() < deadline) asked = await ask(page, stack, machine);
    Object.assign(result, asked);
    if (result.problem === undefined && result.actual !== expected) result.problem = `it is ${result.actual}`;
  } catch (error) {
    result.problem = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  } finally {
    await page?.context().close();
  }
  result.log = [...lines, host.log.slice(before)].join('\n');
  return result;
}

/** Connects `globalThis.client`, and notes its paths in `globalThis.pathsTaken`. */
export async function connect(page: Page, host: string): Promise<void> {
  await page.evaluate(
    ({ host, token }) => {
      const start = performance.now();
      globalThis.client = globalThis.library.connect({ url: location.origin, host, token });
      globalThis.pathsTaken = [];
      globalThis.client.on('path', (path) => globalThis.pathsTaken.push({ path, ms: performance.now() - start }));
    },
    { host, token: OWNER_TOKEN },
  );
}

/** Waits for the path; resolves in vain as well: then the result says what there is instead. */
export async function settle(page: Page, expected: PathKind): Promise<void> {
  const isSettled = (expected: PathKind) => {
    const { path, state } = globalThis.client;
    // The relay is there from the start: it is the best path once an attempt at a better one has ended.
    return path === expected && state === (expected === 'relay' ? 'waiting' : 'connected');
  };
  await page.waitForFunction(isSettled, expected, { timeout: SETTLES_WITHIN_MS }).catch(() => {});
}

/** Asks for a long answer. What the client says of its path must be what the lab's internet saw. */
async function ask(page: Page, stack: NatStack, machine: Machine): Promise<Partial<CellResult>> {
  const before = stack.lab.traffic(machine);
  const asked = await page.evaluate(async (model) => {
    const { client, pathsTaken } = globalThis;
    const before = client.path;
    const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'x' }] });
    const response = await client.fetch('/v1/chat/completions', { method: 'POST', body });
    const text = await response.text();
    const ms = pathsTaken.findLast(({ path }) => path === before)?.ms;
    return { status: response.status, text, before, after: client.path, ms };
  }, `tokens-${TOKENS}`);
  const { edge, turn } = stack.lab.traffic(machine);
  const seen = pathSeen({ edge: edge - before.edge, turn: turn - before.turn });
  const { status, text, ms } = asked;
  if (asked.before !== asked.after) return { problem: `it went from ${asked.before} to ${asked.after} meanwhile` };
  if (asked.after !== seen) return { problem: `it is called ${asked.after}, but the answer came by ${seen}` };
  if (status !== 200 || answerIn(text) !== ANSWER) return { problem: `status ${status}, not the answer` };
  return { actual: seen, ms };
}

/** By which way at least the answer's bytes have come. */
function pathSeen({ edge, turn }: Traffic): PathKind {
  if (edge >= ANSWER.length) return 'relay';
  return turn >= ANSWER.length ? 'turn' : 'direct';
}

function answerIn(text: string): unknown {
  const { choices } = JSON.parse(text) as { choices?: { message?: { content?: unknown } }[] };
  return choices?.[0]?.message?.content;
}
