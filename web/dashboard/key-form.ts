/** A new API key: what it may do, and the key itself, once. */
import type { ApiKey, Host, KeyScope } from '../../shared/account-api.ts';
import { copyable } from '../look/copyable.ts';
import { openDialog } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { choicesField, expiryField } from './choices.ts';
import type { Visit } from './visit.ts';

/** Resolves with whether a key was made. */
export async function createKey(visit: Visit, hosts: Host[]): Promise<boolean> {
  const name = h('input', {
    class: 'field',
    name: 'name',
    required: true,
    maxlength: 64,
    autocomplete: 'off',
    placeholder: 'Editor on the laptop',
    'data-testid': 'key-name',
  });
  const models = [...new Set(hosts.flatMap(({ serves }) => serves.flatMap((upstream) => upstream.models)))];
  const hostsField = choicesField(
    'Hosts',
    hosts.map(({ id, name }) => ({ value: id, text: name })),
    'All hosts, also later ones',
  );
  const modelsField = choicesField(
    'Models',
    models.map((model) => ({ value: model, text: model })),
    'All models',
  );
  const prefixes = h('textarea', {
    class: 'field mono',
    rows: 2,
    spellcheck: 'false',
    placeholder: '/v1/',
    'data-testid': 'key-prefixes',
  });
  const rate = h('input', {
    class: 'field',
    type: 'number',
    min: 1,
    step: 1,
    inputmode: 'numeric',
    placeholder: 'no limit',
  });
  const expiry = expiryField(visit.now, 90);
  let made: (ApiKey & { key: string }) | undefined;
  await openDialog({
    title: 'New API key',
    wide: true,
    testid: 'key-form',
    content: [
      h('label', {}, 'Name', name, h('span', { class: 'hint' }, 'What will use it.')),
      hostsField.element,
      modelsField.element,
      h('div', { class: 'pair' }, expiry.element, h('label', {}, 'Requests per minute', rate)),
      h(
        'details',
        { class: 'second-step' },
        h('summary', {}, 'Only some paths'),
        h(
          'label',
          { class: 'under' },
          'Paths that requests may begin with',
          prefixes,
          h('span', { class: 'hint' }, 'One on each line. Empty: everything that the host serves.'),
        ),
      ),
    ],
    submit: {
      label: 'Make key',
      run: async () => {
        made = await visit.api.createKey(scope());
      },
    },
    cancel: 'Cancel',
  });
  if (made === undefined) return false;
  await showKey(visit, made, hosts, models);
  return true;

  /** @throws Error in plain words for what the form cannot mean */
  function scope(): KeyScope {
    const chosenHosts = hostsField.value();
    const chosenModels = modelsField.value();
    if (chosenHosts?.length === 0) throw new Error('Choose at least one host.');
    if (chosenModels?.length === 0) throw new Error('Choose at least one model.');
    const paths = prefixes.value.split(/\s+/).filter((path) => path !== '');
    if (!paths.every((path) => path.startsWith('/'))) throw new Error('Each path begins with a slash.');
    return {
      name: name.value.trim(),
      hosts: chosenHosts,
      prefixes: paths.length === 0 ? null : paths,
      models: chosenModels,
      expires_at: expiry.value(),
      requests_per_minute: rate.value === '' ? null : rate.valueAsNumber,
    };
  }
}

async function showKey(visit: Visit, made: ApiKey & { key: string }, hosts: Host[], models: string[]): Promise<void> {
  const example = {
    base: `${visit.origin}/v1`,
    key: made.key,
    host: headerHost(made, hosts),
    model: made.models?.[0] ?? models[0] ?? 'your-model',
  };
  await openDialog({
    title: `The key “${made.name}”`,
    wide: true,
    testid: 'key-made',
    content: [
      h('p', { class: 'warning' }, 'Copy it now: it is shown this once, and the edge keeps only its hash.'),
      copyable(made.key, 'the key', 'new-key'),
      h('p', { class: 'label' }, 'Base URL'),
      copyable(example.base, 'the base URL'),
      h('p', { class: 'label' }, 'With the OpenAI SDK for Python'),
      copyable(pythonExample(example), 'the Python example'),
      h('p', { class: 'label' }, 'With curl'),
      copyable(curlExample(example), 'the curl example'),
    ],
    submit: { label: 'Done' },
  });
}

/** The host to name in requests, where the edge could mean another one. */
function headerHost(key: ApiKey, hosts: Host[]): string | undefined {
  if (hosts.length < 2 && hosts[0]?.id === 'home') return undefined;
  return key.hosts?.[0] ?? hosts[0]?.id;
}

export interface Example {
  base: string;
  key: string;
  /** Named by a header field if there are several. */
  host: string | undefined;
  model: string;
}

export function curlExample({ base, key, host, model }: Example): string {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] });
  return [
    `curl ${base}/chat/completions \\`,
    `  -H 'Authorization: Bearer ${key}' \\`,
    ...(host === undefined ? [] : [`  -H 'Direct-Host: ${host}' \\`]),
    `  -H 'Content-Type: application/json' \\`,
    // A single quote ends the shell's string, stands escaped, and begins the next one.
    `  -d '${body.replaceAll("'", "'\\''")}'`,
  ].join('\n');
}

export function pythonExample({ base, key, host, model }: Example): string {
  return [
    'from openai import OpenAI',
    '',
    'client = OpenAI(',
    `    base_url=${JSON.stringify(base)},`,
    `    api_key=${JSON.stringify(key)},`,
    ...(host === undefined ? [] : [`    default_headers={"Direct-Host": ${JSON.stringify(host)}},`]),
    ')',
    'answer = client.chat.completions.create(',
    `    model=${JSON.stringify(model)},`,
    '    messages=[{"role": "user", "content": "Hello"}],',
    ')',
    'print(answer.choices[0].message.content)',
  ].join('\n');
}
