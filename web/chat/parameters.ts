/** What a person may set for a conversation. What is absent is left to the server. */
export interface Parameters {
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  seed?: number;
  stop?: string[];
}

interface Range {
  label: string;
  min: number;
  max: number;
  whole: boolean;
  hint: string;
}

/** As OpenAI’s API reference has them; a seed is a 32-bit number for llama.cpp and Ollama. */
export const NUMBERS: Readonly<Record<'temperature' | 'top_p' | 'max_tokens' | 'seed', Range>> = {
  temperature: { label: 'Temperature', min: 0, max: 2, whole: false, hint: '0 is sober, 1 and more is free' },
  top_p: { label: 'Top P', min: 0, max: 1, whole: false, hint: 'Of the likely words only this part' },
  max_tokens: { label: 'Longest answer', min: 1, max: 1_000_000, whole: true, hint: 'In tokens' },
  seed: { label: 'Seed', min: 0, max: 2 ** 32 - 1, whole: true, hint: 'The same one gives the same answer' },
};

export type NumberName = keyof typeof NUMBERS;
export const NUMBER_NAMES = Object.keys(NUMBERS) as NumberName[];

/** OpenAI takes four. */
const MAX_STOPS = 4;
const MAX_STOP_CHARACTERS = 200;

/** As typed. @returns undefined for an empty field; a text that says what is wrong. */
export function parseNumber(name: NumberName, typed: string): number | undefined | string {
  const text = typed.trim().replace(',', '.');
  if (text === '') return undefined;
  const value = Number(text);
  return isAllowed(name, value) ? value : rangeText(name);
}

/** One in each line; `\n` stands for a line end. */
export function parseStops(typed: string): string[] {
  return typed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replaceAll('\\n', '\n').slice(0, MAX_STOP_CHARACTERS))
    .slice(0, MAX_STOPS);
}

export function stopsText(stops: readonly string[] = []): string {
  return stops.map((stop) => stop.replaceAll('\n', '\\n')).join('\n');
}

/** Of a file that anybody may have made: what is not allowed is left out. */
export function parametersFrom(value: unknown): Parameters {
  const given = typeof value === 'object' && value !== null ? (value as Partial<Record<string, unknown>>) : {};
  const parameters: Parameters = {};
  for (const name of NUMBER_NAMES) {
    const number = given[name];
    if (typeof number === 'number' && isAllowed(name, number)) parameters[name] = number;
  }
  const { stop } = given;
  const stops = Array.isArray(stop) ? stop.filter((one) => typeof one === 'string' && one !== '') : [];
  if (stops.length > 0) parameters.stop = stops.slice(0, MAX_STOPS).map((one) => one.slice(0, MAX_STOP_CHARACTERS));
  return parameters;
}

function isAllowed(name: NumberName, value: number): boolean {
  const { min, max, whole } = NUMBERS[name];
  return value >= min && value <= max && (!whole || Number.isInteger(value));
}

function rangeText(name: NumberName): string {
  const { label, min, max, whole } = NUMBERS[name];
  return `${label} is a ${whole ? 'whole number' : 'number'} from ${min} to ${max}.`;
}
