/**
 * Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). It is this one
 * page of it; prom-client would bring a registry, percentiles and OpenTelemetry along, and timers of its own.
 */
import type { Histogram } from './meter-histogram.ts';

export type Labels = Readonly<Record<string, string>>;

export class MetricsText {
  #text = '';

  /** A number that only grows; its name ends in `_total`. */
  counter(name: string, help: string, ...samples: readonly (readonly [labels: Labels, value: number])[]): this {
    return this.#family(name, 'counter', help, () => samples.map(([labels, value]) => sample(name, labels, value)));
  }

  /** A number that goes up and down. */
  gauge(name: string, help: string, ...samples: readonly (readonly [labels: Labels, value: number])[]): this {
    return this.#family(name, 'gauge', help, () => samples.map(([labels, value]) => sample(name, labels, value)));
  }

  histogram(name: string, help: string, ...all: readonly (readonly [labels: Labels, histogram: Histogram])[]): this {
    return this.#family(name, 'histogram', help, () =>
      all.flatMap(([labels, { bounds, cumulative, sum, count }]) => [
        ...bounds.map((bound, index) =>
          sample(`${name}_bucket`, { ...labels, le: `${bound}` }, cumulative[index] ?? 0),
        ),
        sample(`${name}_bucket`, { ...labels, le: '+Inf' }, count),
        sample(`${name}_sum`, labels, sum),
        sample(`${name}_count`, labels, count),
      ]),
    );
  }

  toString(): string {
    return this.#text;
  }

  #family(name: string, type: string, help: string, samples: () => readonly string[]): this {
    const lines = [`# HELP ${name} ${escaped(help)}`, `# TYPE ${name} ${type}`, ...samples()];
    this.#text += `${lines.join('\n')}\n`;
    return this;
  }
}

function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => {
    return `${label}="${escaped(text.toWellFormed()).replaceAll('"', '\\"')}"`;
  });
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
