/** The few-labels table as markdown, and with charts as one self-contained page. */
import type { Interval } from '../../trainer/evaluation/compare.ts'
import type { Row } from './few-labels-compare.ts'

const plain = ({ value, low, high }: Interval) => `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`
const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`
const change = ({ value, low, high }: Interval) => `${signed(value)} [${signed(low)}, ${signed(high)}]`
const headings = ['data set', 'labels', 'variant', 'seeds', 'mAP50', 'mAP50-95', 'Δ mAP50', 'Δ mAP50-95', 'ECE', 'seconds']

const cellsOf = ({ dataset, labels, variant, seeds, seconds, ECE, difference, ...row }: Row): string[] => [
  dataset,
  String(labels),
  variant,
  String(seeds),
  plain(row.mAP50),
  plain(row['mAP50-95']),
  difference ? change(difference.mAP50) : '',
  difference ? change(difference['mAP50-95']) : '',
  ECE.toFixed(3),
  seconds.toFixed(0),
]

export function markdown(rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(headings), line(headings.map(() => '---')), ...rows.map((row) => line(cellsOf(row)))].join('\n')
}

const safe = (text: string) => text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`)
const colours = ['#1c7ed6', '#e8590c', '#2b8a3e', '#9c36b5', '#c92a2a', '#0b7285', '#5f3dc4', '#a61e4d', '#495057', '#e67700']

/** mAP50-95 of each variant over the number of labels, with whiskers. */
function curves(rows: readonly Row[], names: readonly string[]): string {
  const [width, height, left, bottom] = [520, 300, 50, 40]
  const labels = [...new Set(rows.map((row) => row.labels))].sort((a, b) => a - b)
  const top = Math.max(0.1, ...rows.map((row) => row['mAP50-95'].high)) * 1.05
  const x = (count: number, shift: number) =>
    left + 30 + ((width - left - 60) * labels.indexOf(count)) / Math.max(1, labels.length - 1) + shift
  const y = (value: number) => (height - bottom) * (1 - value / top) + 6
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top)
  const axes = [
    ...ticks.map(
      (tick) =>
        `<line x1="${left}" x2="${width}" y1="${y(tick)}" y2="${y(tick)}" stroke="#dee2e6"/><text x="${left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick.toFixed(2)}</text>`,
    ),
    ...labels.map((count) => `<text x="${x(count, 0)}" y="${height - 14}" text-anchor="middle">${count} labels</text>`),
  ]
  const lines = names.map((name, i) => {
    const own = rows.filter(({ variant }) => variant === name).toSorted((a, b) => a.labels - b.labels)
    const shift = (i - (names.length - 1) / 2) * 5
    const colour = colours[i % colours.length]
    const points = own.map((row) => `${x(row.labels, shift)},${y(row['mAP50-95'].value)}`).join(' ')
    const marks = own.map(({ labels: count, 'mAP50-95': { value, low, high } }) => {
      const at = x(count, shift)
      return `<line x1="${at}" x2="${at}" y1="${y(low)}" y2="${y(high)}" stroke="${colour}"/><circle cx="${at}" cy="${y(value)}" r="3.5" fill="${colour}"><title>${safe(name)}, ${count} labels: ${value.toFixed(3)}</title></circle>`
    })
    return `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.5"/>${marks.join('')}`
  })
  return `<svg viewBox="0 0 ${width} ${height}" role="img">${axes.join('')}${lines.join('')}</svg>`
}

/** Paired difference of mAP50-95 to base, one line a variant and number of labels. */
function differences(rows: readonly Row[], names: readonly string[]): string {
  const shown = rows.flatMap(({ difference, ...row }) => (difference ? [{ ...row, ...difference }] : []))
  if (shown.length === 0) return ''
  const [width, left, line] = [520, 170, 20]
  const height = shown.length * line + 30
  const reach = Math.max(0.01, ...shown.flatMap((each) => [Math.abs(each['mAP50-95'].low), Math.abs(each['mAP50-95'].high)]))
  const x = (value: number) => left + ((width - left - 10) * (value + reach)) / (2 * reach)
  const marks = shown.map(({ variant, labels, 'mAP50-95': { value, low, high } }, i) => {
    const y = i * line + 14
    const colour = colours[names.indexOf(variant) % colours.length]
    return `<text x="${left - 8}" y="${y + 4}" text-anchor="end">${safe(variant)}, ${labels}</text><line x1="${x(low)}" x2="${x(high)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="2"/><circle cx="${x(value)}" cy="${y}" r="4" fill="${colour}"><title>${change({ value, low, high })}</title></circle>`
  })
  const scale = [-reach, 0, reach].map(
    (value) => `<text x="${x(value)}" y="${height - 4}" text-anchor="middle">${signed(value)}</text>`,
  )
  return `<svg viewBox="0 0 ${width} ${height}" role="img"><line x1="${x(0)}" x2="${x(0)}" y1="0" y2="${height - 18}" stroke="#868e96"/>${marks.join('')}${scale.join('')}</svg>`
}

export function page(
  rows: readonly Row[],
  { words, settings }: { words: Readonly<Record<string, string>>; settings: string },
): string {
  const names = [...new Set(rows.map(({ variant }) => variant))]
  const sets = [...new Set(rows.map(({ dataset }) => dataset))]
  const legend = names
    .map((name, i) => `<li><b style="color:${colours[i % colours.length]}">${safe(name)}</b>: ${safe(words[name] ?? '')}</li>`)
    .join('')
  const sections = sets.map((name) => {
    const own = rows.filter(({ dataset }) => dataset === name)
    return `<h2>${safe(name)}</h2><div class="pair"><figure>${curves(own, names)}<figcaption>mAP50-95 on held-out pictures</figcaption></figure><figure>${differences(own, names)}<figcaption>difference to base, same pictures and seeds</figcaption></figure></div>`
  })
  const table = `<table><tr>${headings.map((each) => `<th>${each}</th>`).join('')}</tr>${rows
    .map(
      (row) =>
        `<tr>${cellsOf(row)
          .map((each) => `<td>${safe(each)}</td>`)
          .join('')}</tr>`,
    )
    .join('')}</table>`
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Few labels</title><style>
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;color:#212529}
svg{width:100%;font-size:11px}.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}figure{margin:0}
table{border-collapse:collapse;font-size:12px}td,th{border:1px solid #dee2e6;padding:3px 8px;text-align:left}
</style><h1>What few labels teach</h1><p>${safe(settings)}. Intervals: 95 %, bootstrap over seeds and held-out pictures.</p><ul>${legend}</ul>${sections.join('')}${table}</html>
`
}
