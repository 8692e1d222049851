/** docs/reference/configuration.md: every setting, of the schema, its meanings and the flags of the command line. */
import type { Option } from 'commander';
import { makeProgram } from '../agent/command-line/program.ts';
import { envName, flagProperty } from '../agent/config-messages.ts';
import { MEANINGS, SECTIONS } from '../agent/setting-meanings.ts';
import { EXPECTED, isKey, KEYS, type Key } from '../agent/settings.ts';
import { GENERATED } from './docs-page.ts';

const INTRODUCTION = `# Reference: settings of the agent

Three sources, each overriding the one before: the file \`config.yaml\`, environment variables, flags. \`direct-agent config path\` says where the file is, \`direct-agent config get\` what counts and where it comes from. What the settings are for is in [Configuration](../configuration.md) and [Network](../network.md).

In the file lists are YAML lists; elsewhere their items are separated by commas, and their flags may be repeated. A mistake stops the agent with a message that names the key, its value, where it stands, and what to write.
`;

export function configurationReference(): string {
  const sections = Object.entries(SECTIONS).map(([section, title]) => {
    const keys = KEYS.filter(isKey).filter((key) => MEANINGS[key].section === section);
    return [`## ${title}`, ...keys.map(entry)].join('\n\n');
  });
  return `${GENERATED}\n${[INTRODUCTION.trim(), contents(), ...sections].join('\n\n')}\n`;
}

function contents(): string {
  const keys = KEYS.filter(isKey);
  return keys.map((key) => `[\`${key}\`](#${key})`).join(' · ');
}

function entry(key: Key): string {
  const { text, default: standard, example, inner } = MEANINGS[key];
  const flag = flagOf(key);
  const facts = [
    `- Write: ${EXPECTED[key]}`,
    `- Default: ${standard}`,
    `- Environment: \`${envName(key)}\`${flag === undefined ? '' : `; flag: \`${flag.flags}\``}`,
  ];
  const below = Object.entries(inner ?? {}).map(([name, meaning]) => `  - \`${name}\`: ${meaning}`);
  if (below.length > 0) facts.push('- Below it:', ...below);
  return `### \`${key}\`\n\n${text}\n\n${facts.join('\n')}\n\n\`\`\`yaml\n${example}\n\`\`\``;
}

function flagOf(key: Key): Option | undefined {
  const up = makeProgram(async () => {}).commands.find((command) => command.name() === 'up');
  return up?.options.find((option) => option.attributeName() === flagProperty(key));
}
