/** All cells of the matrix, a few at a time, and the table of what came out. */
import type { Browser } from 'playwright-core';
import { type CellResult, runCell } from './cell.ts';
import { expectedPath } from './expected-path.ts';
import type { Machine } from './nat-lab.ts';
import { type Host, NatStack } from './nat-stack.ts';
import { isNeighbour, type NetworkName, type Place, titleOf } from './network-types.ts';

export interface Cell {
  client: Place;
  host: NetworkName;
}

export type Results = Map<Place, Map<NetworkName, CellResult>>;

/** Clients at work at the same time: half of a cell is waiting. */
const AT_ONCE = 4;

/** Runs the cells; those that cannot be, as no host without a router has a neighbour behind it, are left out. */
export async function runMatrix(
  cells: readonly Cell[],
  tell: (cell: Cell, result: CellResult) => void = () => {},
): Promise<Results> {
  const possible = cells.filter(({ client, host }) => expectedPath(client, host) !== undefined);
  const results: Results = new Map();
  const stack = await NatStack.start();
  try {
    const hosts = new Map<NetworkName, Host>();
    for (const { host } of possible) if (!hosts.has(host)) hosts.set(host, await stack.addHost(host));
    const turns = new Map<Host, Promise<unknown>>();
    const work = groups(possible).map((group) => async () => {
      const [first] = group;
      const machine = machineFor(stack, hosts, first);
      const browser = await stack.launchChromium(machine);
      try {
        for (const cell of group) {
          const host = hostOf(hosts, cell);
          // One client at a time, so that a host's log is of one cell.
          const turn = (turns.get(host) ?? Promise.resolve()).then(() => run(stack, browser, machine, host, cell));
          turns.set(host, turn);
          const result = await turn;
          const row = results.get(cell.client) ?? new Map<NetworkName, CellResult>();
          results.set(cell.client, row.set(cell.host, result));
          tell(cell, result);
        }
      } finally {
        await browser.close();
      }
    });
    const worker = async () => {
      for (let next = work.shift(); next !== undefined; next = work.shift()) await next();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return results;
  } finally {
    await stack.close();
  }
}

function run(stack: NatStack, browser: Browser, machine: Machine, host: Host, { client, host: name }: Cell) {
  const expected = expectedPath(client, name);
  if (expected === undefined) throw new Error('there cannot be such a cell');
  return runCell(stack, browser, machine, host, expected);
}

/** Cells of the same machine, from where they go to all hosts; neighbours have one host each. */
function groups(cells: readonly Cell[]): [Cell, ...Cell[]][] {
  const groups = new Map<string, [Cell, ...Cell[]]>();
  for (const cell of cells) {
    const key = isNeighbour(cell.client) ? `${cell.client} of ${cell.host}` : cell.client;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [cell]);
    else group.push(cell);
  }
  // Each begins with another host, so that they are not all in one queue.
  return [...groups.values()].map((group, i) => {
    const start = i % group.length;
    return [...group.slice(start), ...group.slice(0, start)] as [Cell, ...Cell[]];
  });
}

function machineFor(stack: NatStack, hosts: ReadonlyMap<NetworkName, Host>, cell: Cell): Machine {
  const { client } = cell;
  return isNeighbour(client) ? hostOf(hosts, cell).machine.addNeighbour(client) : stack.lab.add(client);
}

function hostOf(hosts: ReadonlyMap<NetworkName, Host>, { host }: Cell): Host {
  const found = hosts.get(host);
  if (found === undefined) throw new Error(`no host ${host}`);
  return found;
}

/** Markdown: clients down, hosts across. */
export function table(results: Results, clients: readonly Place[], hosts: readonly NetworkName[]): string {
  const rows = clients.map((client) => [
    titleOf(client),
    ...hosts.map((host) => cellText(results.get(client)?.get(host))),
  ]);
  const head = ['client ↓ host →', ...hosts.map(titleOf)];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function cellText(result: CellResult | undefined): string {
  if (result === undefined) return '–';
  const { expected, problem, ms } = result;
  if (problem !== undefined) return `**✗ ${expected}**: ${problem}`;
  return ms === undefined ? expected : `${expected} ${(ms / 1000).toFixed(1)} s`;
}
