/**
 * Where `npm run bench` measures one condition: Chromium in a network of its own (test/network-lab.ts) on one side of a
 * link; the upstream, the edge, an agent for each column and another Chromium on the other side.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { type LocalEdge, startEdge } from '../scripts/edge.ts';
import { CHROMIUM_OPTIONS } from '../test/chromium.ts';
import { addModule, openLibraryPage } from '../test/client-page.ts';
import { NetworkLab, type NetworkLabOptions } from '../test/network-lab.ts';
import { AGENT_TOKEN, OWNER_TOKEN } from '../test/stack.ts';
import type { AgentCounters, AgentQuestion } from './agent.ts';
import type { Column } from './columns.ts';
import type * as inPage from './in-page.ts';
import { ready } from './slow-internet.ts';

export { OWNER_TOKEN };

declare global {
  // Set by `addModule` in the pages.
  var bench: typeof inPage;
}

export interface Condition {
  name: string;
  title: string;
  link?: NonNullable<NetworkLabOptions['link']>;
}

/** Of the network device between the two sides, both directions together. */
export interface WireCounters {
  packets: number;
  bytes: number;
}

/** More than six requests at once need several names: see NetworkLab. */
const NAMES = 10;
const CONNECT_MS = 60_000;

export class Place {
  readonly lab: NetworkLab;
  readonly condition: Condition;
  readonly browser: Browser;
  readonly edge: LocalEdge;
  readonly #hostBrowser: Browser | undefined;
  readonly #upstream: { url: string; port: number };
  readonly #agents = new Map<string, ChildProcess>();
  readonly #children: ChildProcess[];
  readonly #device: string;
  readonly #pages = new Map<string, Page[]>();
  /** Columns whose agent did not start, and why. */
  readonly #broken = new Map<string, Error>();
  /** The most that any question has told, in bytes, by column. */
  readonly #peaks = new Map<string, number>();

  private constructor(
    condition: Condition,
    lab: NetworkLab,
    edge: LocalEdge,
    browsers: readonly [Browser, Browser | undefined],
    upstream: { url: string; port: number; process: ChildProcess },
    device: string,
  ) {
    this.condition = condition;
    this.lab = lab;
    this.edge = edge;
    [this.browser, this.#hostBrowser] = browsers;
    this.#upstream = upstream;
    this.#children = [upstream.process];
    this.#device = device;
  }

  static async start(condition: Condition, columns: readonly Column[]): Promise<Place> {
    const lab = await NetworkLab.start(condition.link === undefined ? {} : { link: condition.link });
    try {
      const upstreamProcess = spawn(process.execPath, [join(import.meta.dirname, 'upstream.ts'), lab.hostAddress]);
      const upstream = { ...JSON.parse(await ready(upstreamProcess)), process: upstreamProcess };
      const edge = await startEdge({
        port: 0,
        host: lab.hostAddress,
        main: join(import.meta.dirname, 'first-byte-worker.ts'),
        variables: { OWNER_TOKEN, AGENT_TOKEN, ICE_SERVERS: '[]' },
      });
      // The serving page shows its addresses; the asking one keeps them, as people's browsers do.
      const args = [...(CHROMIUM_OPTIONS.args ?? []), '--disable-features=WebRtcHideLocalIpsWithMdns'];
      const browsers = await Promise.all([
        lab.launchChromium(),
        columns.some(({ kind }) => kind === 'raw') ? chromium.launch({ ...CHROMIUM_OPTIONS, args }) : undefined,
      ]);
      const [device = ''] =
        Object.entries(networkInterfaces()).find(([, all]) =>
          all?.some(({ address }) => address === lab.hostAddress),
        ) ?? [];
      const place = new Place(condition, lab, edge, browsers, upstream, device);
      for (const { name, engine } of columns) {
        if (engine !== undefined)
          await place.#startAgent(name, engine).catch((error) => place.#broken.set(name, error));
      }
      return place;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** The edge as the browser opens it. */
  get origin(): string {
    return `http://localhost:${this.edge.port}`;
  }

  /** The upstream as the browser opens it, by several names. */
  get upstreamOrigins(): string[] {
    return this.#names(this.#upstream.port);
  }

  /** The column's page, connected. Another one if its path is not the column's any longer. */
  async page(column: Column): Promise<Page> {
    const broken = this.#broken.get(column.name);
    if (broken !== undefined) throw broken;
    const [page] = this.#pages.get(column.name) ?? [];
    if (
      page !== undefined &&
      (column.path === undefined || (await page.evaluate(() => bench.path())) === column.path)
    ) {
      return page;
    }
    await this.closePage(column.name);
    return await this.#open(column);
  }

  /** The next `page` is a new one. */
  async closePage(name: string): Promise<void> {
    const pages = this.#pages.get(name) ?? [];
    this.#pages.delete(name);
    await Promise.all(
      pages.map((page) =>
        page
          .context()
          .close()
          .catch(() => {}),
      ),
    );
  }

  /** A page of a column with our client, with one lane only. Whoever opens it closes its context. */
  async openOneLane(column: Column): Promise<Page> {
    const page = await this.#bare();
    await connectPage(page, column, true);
    return page;
  }

  /** An agent that has done nothing yet in the place of the column's; the next `page` is a new one. */
  async restartAgent({ name, engine }: Column): Promise<void> {
    await this.closePage(name);
    const agent = this.#agents.get(name);
    if (agent === undefined || engine === undefined) return;
    const ended = once(agent, 'exit');
    agent.kill();
    await ended;
    await this.#startAgent(name, engine);
  }

  agentPid(column: string): number | undefined {
    return this.#agents.get(column)?.pid;
  }

  /** Undefined where the column has no agent. */
  async counters(column: string, { collect }: AgentQuestion = { collect: false }): Promise<AgentCounters | undefined> {
    const agent = this.#agents.get(column);
    if (agent === undefined) return undefined;
    const answer = once(agent, 'message', { signal: AbortSignal.timeout(10_000) });
    agent.send({ collect } satisfies AgentQuestion);
    const [counters] = (await answer) as [AgentCounters];
    this.#peaks.set(column, Math.max(this.peakRssBytes(column), counters.peakRssBytes));
    return counters;
  }

  /** The most memory that the column's agent has had until the last `counters`. */
  peakRssBytes(column: string): number {
    return this.#peaks.get(column) ?? 0;
  }

  wire(): WireCounters {
    const read = (what: string) => Number(readFileSync(`/sys/class/net/${this.#device}/statistics/${what}`, 'utf8'));
    return { packets: read('rx_packets') + read('tx_packets'), bytes: read('rx_bytes') + read('tx_bytes') };
  }

  async close(): Promise<void> {
    for (const name of [...this.#pages.keys()]) await this.closePage(name);
    await Promise.all([this.lab.close(), this.#hostBrowser?.close()]);
    for (const child of this.#children) child.kill();
    await this.edge.close();
  }

  #names(port: number): string[] {
    return Array.from({ length: NAMES }, (_, i) => `http://n${i}.localhost:${port}`);
  }

  async #startAgent(name: string, engine: string): Promise<void> {
    const base = `http://${this.lab.hostAddress}:${this.edge.port}/_direct/h/${name}`;
    const program = join(import.meta.dirname, 'agent.ts');
    const agent = spawn(process.execPath, ['--expose-gc', program, base, this.#upstream.url], {
      stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
      env: {
        ...process.env,
        DIRECT_AGENT_TOKEN: AGENT_TOKEN,
        // Other networks of this machine are others' business.
        DIRECT_AGENT_INTERFACES: this.#device,
        ...(engine === '' ? {} : { DIRECT_AGENT_ENGINE: engine }),
      },
    });
    this.#children.push(agent);
    this.#agents.set(name, agent);
    await withinMs(CONNECT_MS, ready(agent), `the agent of ${name} did not connect`);
  }

  async #bare(): Promise<Page> {
    const { page } = await openLibraryPage(this.browser, { origin: this.origin });
    await addModule(page, 'bench', "export * from '../bench/in-page.ts';");
    return page;
  }

  async #open(column: Column): Promise<Page> {
    const page = await this.#bare();
    const pages = [page];
    this.#pages.set(column.name, pages);
    if (column.kind === 'http') {
      const origins = column.name === 'plain' ? this.upstreamOrigins : this.#names(this.edge.port);
      const headers: Record<string, string> =
        column.name === 'plain' ? {} : { authorization: `Bearer ${OWNER_TOKEN}`, 'direct-host': column.name };
      await page.evaluate(([origins, headers]) => bench.useHttp(origins, headers), [origins, headers] as const);
    } else if (column.kind === 'client') {
      await connectPage(page, column, false);
    } else {
      const other = await this.#servingPage();
      pages.push(other);
      const answer = await other.evaluate((sdp) => bench.rawAnswer(sdp), await page.evaluate(() => bench.rawOffer()));
      await other.evaluate(() => bench.serveRaw());
      await page.evaluate(async (answer) => {
        await bench.rawOpen(answer);
        bench.useRaw();
      }, answer);
    }
    return page;
  }

  async #servingPage(): Promise<Page> {
    if (this.#hostBrowser === undefined) throw new Error('no browser for the other side');
    const page = await (await this.#hostBrowser.newContext()).newPage();
    await page.goto(`http://${this.lab.hostAddress}:${this.edge.port}/_direct/client.js`);
    await addModule(page, 'bench', "export * from '../bench/in-page.ts';");
    return page;
  }
}

async function connectPage(page: Page, { name, path }: Column, oneLane: boolean): Promise<void> {
  const asked: inPage.ClientAsked = {
    host: name,
    token: OWNER_TOKEN,
    path: path ?? 'direct',
    webrtc: path === 'direct',
    oneLane,
  };
  page.setDefaultTimeout(CONNECT_MS);
  const connected = page.evaluate((asked) => bench.useClient(asked), asked);
  await withinMs(CONNECT_MS, connected, `no ${path} path`);
}

/** @throws Error with `what` when it takes longer. */
export async function withinMs<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms / 1000} s`)), ms);
  });
  work.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
