/** Times to the first byte as a picture: each way has its colour and its shape. */
import type { VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ClientPath } from '../client/index.ts';
import { duration, latencies, plotOf, type Sample } from './latency.ts';

const HEIGHT = 170;
/** Marks at the ends do not touch the labels. */
const MARGIN = 8;
/** Until the real one is known. */
const WIDTH = 320;

export function LatencyPlot({ samples }: { samples: readonly Sample[] }): VNode {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const area = { left: 56, right: width - MARGIN, top: 10, bottom: HEIGHT - 26 };
  const { points, rows, columns } = plotOf(samples, area);
  const label = latencies(samples).map(({ way, count, median }) => `${way} ${duration(median)}, median of ${count}`);
  return (
    <div ref={frame} class="plot-frame">
      <svg
        class="plot"
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={`Time to the first byte: ${label.join('; ')}`}
        data-testid="latency-plot"
      >
        {rows.map(({ position, label }) => (
          <g key={label}>
            <line x1={area.left - MARGIN} x2={width} y1={position} y2={position} />
            <text x={area.left - MARGIN - 6} y={position} dy="0.32em" text-anchor="end">
              {label}
            </text>
          </g>
        ))}
        {columns.map(({ position, label }, index) => (
          <text key={index} x={position} y={HEIGHT - 6} text-anchor={anchor(index, columns.length)}>
            {label}
          </text>
        ))}
        {points.map(({ way, x, y, name, firstByteMs }, index) => (
          <Mark key={index} way={way} x={x} y={y} title={`${name}: ${way}, ${duration(firstByteMs)}`} />
        ))}
      </svg>
    </div>
  );
}

/** The first and the last one stay inside. */
function anchor(index: number, count: number): 'start' | 'middle' | 'end' {
  if (index === 0) return 'start';
  return index === count - 1 ? 'end' : 'middle';
}

export interface MarkProps {
  way: ClientPath;
  x: number;
  y: number;
  title?: string;
}

const SHAPES: Readonly<Record<ClientPath, string>> = {
  direct: 'M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z',
  turn: 'M0,-6L6,0L0,6L-6,0z',
  relay: 'M-4.5,-4.5h9v9h-9z',
  tunnel: 'M0,-6L6,5H-6z',
  offline: 'M-5,-1.5h10v3h-10z',
};

/** A circle is direct, a diamond TURN, a square the relay, a triangle the tunnel. */
export function Mark({ way, x, y, title }: MarkProps): VNode {
  return (
    <path class={`mark mark-${way}`} d={SHAPES[way]} transform={`translate(${x} ${y})`}>
      {title === undefined ? null : <title>{title}</title>}
    </path>
  );
}

/** Of an element in CSS pixels, so that text in the picture is as large as around it. */
function useWidth(ref: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(WIDTH);
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth || WIDTH));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}
