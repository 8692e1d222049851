/**
 * `npm run test:werift -- CLONE [--revision v0.23.0] [--each] [--package sctp] [--only api]`: upstream's own tests on
 * werift as we patch it.
 *
 * CLONE is the path of a clone of github.com/shinyoshiaki/werift-webrtc, as npm's package has no tests. They run on
 * werift as npm has it and on the copy in node_modules; with `--each` also after each of our patches. Those that fail on
 * the first one say something about the machine (no internet) or about the revision; one that fails on another copy
 * alone is listed, and is an error. werift as npm has it comes from npm's registry or cache.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { installedWerift, stockWerift, type WeriftCopy, weriftPatches, withPatch } from './werift-copies.ts';

const ROOT = join(import.meta.dirname, '..');
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    revision: { type: 'string', default: 'HEAD' },
    each: { type: 'boolean', default: false },
    package: { type: 'string', multiple: true, default: [] },
    /** Runs the files whose path contains it. */
    only: { type: 'string', multiple: true, default: [] },
  },
});

/** Vitest's JSON report, as far as it is read here. */
interface Report {
  testResults: {
    name: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

type Outcomes = Map<string, string>;

/** Runs the tests of one package on a copy of werift: name of each → "passed", "skipped" or its failure's first line. */
function run(folder: string, name: string, stock: WeriftCopy, tested: WeriftCopy): Outcomes {
  const packages = join(folder, 'upstream/packages');
  const file = join(folder, `${name}-${tested.name}.json`);
  const config = join(import.meta.dirname, 'werift-upstream-vitest.ts');
  const given = ['run', '--config', config, '--reporter=json', `--outputFile=${file}`, '--maxWorkers=2'];
  const { stderr } = spawnSync(join(ROOT, 'node_modules/.bin/vitest'), [...given, ...options.only], {
    // Upstream's tests read their files by relative paths.
    cwd: join(packages, name),
    encoding: 'utf8',
    env: {
      ...process.env,
      WERIFT_UPSTREAM: JSON.stringify({ packages, name, werift: tested.folder, stock: stock.folder }),
    },
  });
  if (!existsSync(file)) throw new Error(`Vitest gave no report for ${name}:\n${stderr}`);
  const outcomes: Outcomes = new Map();
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  for (const { name: path, message, assertionResults } of report.testResults) {
    const short = relative(packages, path);
    // A file that could not be loaded has no tests.
    if (assertionResults.length === 0) outcomes.set(short, message.split('\n')[0] || 'failed');
    for (const { fullName, status, failureMessages } of assertionResults)
      outcomes.set(
        `${short}: ${fullName}`,
        status === 'failed' ? `${failureMessages[0]?.split('\n')[0]}` : status === 'passed' ? status : 'skipped',
      );
  }
  return outcomes;
}

/** The packages that our patches touch, and whose code those use. */
const PACKAGES = ['common', 'sctp', 'dtls', 'ice', 'webrtc'];
const didFail = (outcome: string | undefined) => outcome !== 'passed' && outcome !== 'skipped';

/** As in "30 of 31 passed, 1 skipped". */
function summary(outcomes: Outcomes): string {
  const count = (outcome: string) => [...outcomes.values()].filter((each) => each === outcome).length;
  return `${count('passed')} of ${outcomes.size} passed, ${count('skipped')} skipped`;
}

const [clone] = positionals;
if (!clone) {
  process.stderr.write('test:werift needs the path of a clone of https://github.com/shinyoshiaki/werift-webrtc\n');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'direct-agent-werift-'));
try {
  mkdirSync(join(folder, 'upstream'));
  const archive = execFileSync('git', ['-C', clone, 'archive', options.revision, 'packages'], {
    maxBuffer: 2 ** 30,
  });
  execFileSync('tar', ['x', '-C', join(folder, 'upstream')], { input: archive });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'upstream/node_modules'));
  const stock = stockWerift(folder);
  const copies = [installedWerift(folder)];
  if (options.each) {
    let last = stock;
    const steps = weriftPatches().map((patch) => {
      last = withPatch(folder, last, patch);
      return last;
    });
    copies.unshift(...steps);
  }
  for (const name of PACKAGES.filter((name) => options.package.length === 0 || options.package.includes(name))) {
    const before = run(folder, name, stock, stock);
    console.log(`${name}, stock: ${summary(before)}`);
    for (const [test, outcome] of before)
      if (didFail(outcome)) console.log(`  fails on stock: ${test}\n    ${outcome}`);
    for (const copy of copies) {
      const after = run(folder, name, stock, copy);
      console.log(`${name}, ${copy.name}: ${summary(after)}`);
      for (const test of before.keys()) {
        if (didFail(before.get(test)) || !didFail(after.get(test))) continue;
        console.log(`  FAILS ON THIS COPY ALONE: ${test}\n    ${after.get(test) ?? 'did not run'}`);
        process.exitCode = 1;
      }
    }
  }
  const borrowed = join(folder, 'upstream/packages/borrowed.txt');
  if (existsSync(borrowed)) {
    const sources = [...new Set(readFileSync(borrowed, 'utf8').trim().split('\n'))].sort();
    console.log(`not in npm's package, so taken from the clone: ${sources.join(', ')}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
