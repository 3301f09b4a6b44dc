/** Charts as inline SVG: values in, markup out. Colours are the page's variables, so that light, dark and paper need no second chart. */
import { type Markup, markup, type Piece } from './markup.ts'
import { saySvg, type Word } from './words.ts'

export interface Series {
  readonly name: Piece
  /** Number of the colour, from 1. */
  readonly color: number
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly dots?: boolean
}

interface Axis {
  readonly label: Word
  readonly from: number
  readonly to: number
}

const [width, height] = [440, 240]
const room = { left: 44, right: 10, top: 8, bottom: 36 }
const colors = 8

/** Round numbers across a range, about five of them. */
export function ticks(from: number, to: number): number[] {
  const span = to - from
  if (!(span > 0)) return [from]
  const rough = span / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((each) => each * power >= rough * 0.999) ?? 10) * power
  const first = Math.ceil(from / step - 1e-9)
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

export const short = (value: number): string =>
  Math.abs(value) >= 10_000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3)))

const place =
  ({ from, to }: Axis, start: number, end: number) =>
  (value: number) =>
    Number((start + ((value - from) / (to - from || 1)) * (end - start)).toFixed(1))

function frame(x: Axis, y: Axis, inside: Piece, title: string): Markup {
  const [px, py] = [place(x, room.left, width - room.right), place(y, height - room.bottom, room.top)]
  const [right, bottom] = [width - room.right, height - room.bottom]
  return markup`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${ticks(y.from, y.to).map((tick) => markup`<line class="grid" x1="${room.left}" x2="${right}" y1="${py(tick)}" y2="${py(tick)}"/><text class="tick" text-anchor="end" x="${room.left - 5}" y="${py(tick) + 3.5}">${short(tick)}</text>`)}
${ticks(x.from, x.to).map((tick) => markup`<text class="tick" text-anchor="middle" x="${px(tick)}" y="${bottom + 14}">${short(tick)}</text>`)}
<line class="axis" x1="${room.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
${inside}
<text class="label" text-anchor="end" x="${right}" y="${height - 5}">${saySvg(x.label)}</text>
<text class="label" text-anchor="middle" transform="translate(11 ${(room.top + bottom) / 2}) rotate(-90)">${saySvg(y.label)}</text>
</svg>`
}

const colorOf = (color: number): string => `var(--c${((color - 1) % colors) + 1})`

export function legend(series: readonly Pick<Series, 'name' | 'color'>[]): Markup {
  return markup`<ul class="legend">${series.map(({ name, color }) => markup`<li><i style="background:${colorOf(color)}"></i>${name}</li>`)}</ul>`
}

/** Lines, and their names below. */
export function lineChart({ series, x, y, title }: { series: readonly Series[]; x: Axis; y: Axis; title: string }): Markup {
  const [px, py] = [place(x, room.left, width - room.right), place(y, height - room.bottom, room.top)]
  const inside = series.map(({ points, color, dots }) => {
    const path = points.map(([a, b]) => `${px(a)},${py(b)}`).join(' ')
    const circles = dots
      ? points.map(([a, b]) => markup`<circle cx="${px(a)}" cy="${py(b)}" r="2.5" fill="${colorOf(color)}"/>`)
      : null
    return markup`<polyline class="line" style="stroke:${colorOf(color)}" points="${path}"/>${circles}`
  })
  return markup`<figure>${frame(x, y, inside, title)}${legend(series)}</figure>`
}

/** Bars of what is right by score, and the line on which a score would be a probability; the fuller a bin, the darker its bar. */
export function reliabilityDiagram(
  bins: readonly { readonly low: number; readonly high: number; readonly count: number; readonly precision: number }[],
): Markup {
  const [x, y]: [Axis, Axis] = [
    { label: 'score', from: 0, to: 1 },
    { label: 'share that is right', from: 0, to: 1 },
  ]
  const [px, py] = [place(x, room.left, width - room.right), place(y, height - room.bottom, room.top)]
  const fullest = Math.max(1, ...bins.map(({ count }) => count))
  const bars = bins
    .filter(({ count }) => count > 0)
    .map(({ low, high, count, precision }) => {
      const shade = (0.35 + 0.65 * (count / fullest)).toFixed(2)
      return markup`<rect x="${px(low) + 1}" width="${px(high) - px(low) - 2}" y="${py(precision)}" height="${Number((py(0) - py(precision)).toFixed(1))}" style="fill:${colorOf(1)};opacity:${shade}"><title>${low.toFixed(1)}–${high.toFixed(1)}: ${precision.toFixed(2)} (${count})</title></rect>`
    })
  const line = markup`<line class="ideal" x1="${px(0)}" y1="${py(0)}" x2="${px(1)}" y2="${py(1)}"/>`
  return markup`<figure>${frame(x, y, [markup`<g>${bars}</g>`, line], 'reliability diagram')}</figure>`
}

/** One bar a row, its value behind it. */
export function bar(value: number, most: number, color: number): Markup {
  const share = most > 0 ? Math.max(0, Math.min(1, value / most)) : 0
  return markup`<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="10" rx="1"/><rect width="${(share * 100).toFixed(1)}" height="10" rx="1" style="fill:${colorOf(color)}"/></svg>`
}
