/**
 * A web UI's own Content-Security-Policy (CSP 3), changed so that the edge's client may run in its documents and reach
 * the edge. Nothing that was possible stops, and nothing else becomes possible but this: a document that might connect to
 * nobody may ask its own origin.
 */

export interface Admission {
  /** Address of the client's script, without a query. */
  script: string;
  /** Of the `<script>` element. */
  nonce: string;
}

/** A directive's name in lower case, and its sources as they were. */
type Directive = [name: string, ...sources: string[]];

/** Each falls back to the next one (CSP 3, section 6.8.3). */
const SCRIPTS = ['script-src-elem', 'script-src', 'default-src'];
const CONNECTIONS = ['connect-src', 'default-src'];

/** Several policies are separated by commas, and each of them holds (section 2.2.2). */
export function admitClient(policies: string, admission: Admission): string {
  return policies
    .split(',')
    .map((policy) => admitToPolicy(policy, admission))
    .join(',');
}

function admitToPolicy(policy: string, admission: Admission): string {
  const directives = parse(policy);
  const changed = admit(
    admit(directives, SCRIPTS, (sources) => scriptSource(sources, admission)),
    CONNECTIONS,
    (sources) => (sources.some((source) => source === '*' || is(source, "'self'")) ? undefined : "'self'"),
  );
  // As it came, to the last space, where there is nothing to change.
  return changed === directives ? policy : changed.map((directive) => directive.join(' ')).join('; ');
}

function parse(policy: string): Directive[] {
  const directives: Directive[] = [];
  for (const text of policy.split(';')) {
    const [name, ...sources] = text.split(/[\t\n\f\r ]+/).filter((token) => token !== '');
    if (name !== undefined) directives.push([name.toLowerCase(), ...sources]);
  }
  return directives;
}

/**
 * Adds the source that `missing` names to the first of the directives `names` that there is: what is not restricted stays
 * so. Of repeated ones the first counts (section 2.2.1). Where `default-src` decides, a directive of its own says it, so
 * that nothing else gets the source.
 */
function admit(
  directives: Directive[],
  names: readonly string[],
  missing: (sources: readonly string[]) => string | undefined,
): Directive[] {
  const governing = names.map((name) => directives.findIndex(([other]) => other === name)).find((index) => index >= 0);
  const [name = '', ...sources] = directives[governing ?? -1] ?? [];
  const source = governing === undefined ? undefined : missing(sources);
  if (source === undefined) return directives;
  const more = [...sources.filter((known) => !is(known, "'none'")), source];
  if (name === 'default-src') return [...directives, [names[0] ?? '', ...more]];
  return directives.map((directive, index): Directive => (index === governing ? [name, ...more] : directive));
}

/**
 * The script's own address, and not a nonce, where addresses count: a nonce would switch `'unsafe-inline'` off, and a
 * document that a browser has kept would know another one than the policy. Not `'self'` either, which is everything at
 * this origin.
 */
function scriptSource(sources: readonly string[], { script, nonce }: Admission): string {
  return sources.some((source) => is(source, "'strict-dynamic'")) ? `'nonce-${nonce}'` : script;
}

function is(source: string, keyword: string): boolean {
  return source.toLowerCase() === keyword;
}
