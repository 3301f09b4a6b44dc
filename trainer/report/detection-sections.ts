/** What the model gets right and wrong: curves by class, error split, confusion, calibration, worst pictures. */
import { errorKinds } from '../evaluation/tide.ts'
import { bar, lineChart, reliabilityDiagram } from './charts.ts'
import type { ReportContent, ShownBox, WorstShown } from './content.ts'
import { type Markup, markup } from './markup.ts'
import { say, type Word } from './words.ts'

type Measured = NonNullable<ReportContent['analysed']>

const mostCurves = 8
/** Classes of the confusion matrix; the others are summed up. */
const mostConfused = 20
/** Made-up boxes of a picture that are named; more could not be read. */
const mostNamed = 6

export const number = (value: number, digits = 3): string => value.toFixed(digits)

export function classSection({ perClass, numbers }: Measured, champion: ReportContent['champion']): Markup {
  const drawn = perClass.filter(({ truths }) => truths > 0).toSorted((a, b) => b.truths - a.truths)
  const series = drawn.slice(0, mostCurves).map(({ label, precision }, i) => ({
    name: label,
    color: i + 1,
    points: precision.map((value, level) => [level / 100, value] as const),
  }))
  const before = (label: string) => champion?.perClass.find((each) => each.label === label)?.AP50
  const rows = perClass.map(({ label, truths, AP50, 'AP50-95': all, threshold }) => {
    const old = before(label)
    return markup`<tr><td class="name">${label}</td><td>${truths}</td>${champion ? markup`<td>${old === undefined ? '—' : number(old)}</td>` : null}<td>${truths > 0 ? number(AP50) : '—'}</td><td>${truths > 0 ? number(all) : '—'}</td><td>${number(threshold, 2)}</td></tr>`
  })
  return markup`<h2>${say('By class')}</h2>
<div class="two"><div><h3>${say('Precision over recall')}</h3>
${lineChart({ series, x: { label: 'recall', from: 0, to: 1 }, y: { label: 'precision', from: 0, to: 1 }, title: 'precision over recall' })}
<p class="note">${say('Precision over recall at IoU 0.5; the classes with most true boxes.')}</p></div>
<div><div class="scroll"><table><thead><tr><th class="name">${say('Class')}</th><th>${say('true boxes')}</th>${champion ? markup`<th>AP50, ${say('champion')}</th>` : null}<th>AP50</th><th>AP50-95</th><th>${say('threshold')}</th></tr></thead><tbody>${rows}</tbody></table></div>
<p class="note">${say('The threshold is the score with the best F1: what is proposed for deployment.')}</p></div></div>
<h3>${say('The 12 COCO numbers')}</h3>
<div class="scroll"><table><thead><tr>${Object.keys(numbers).map((name) => markup`<th>${name}</th>`)}</tr></thead><tbody><tr>${Object.values(numbers).map((value) => markup`<td>${value < 0 ? '—' : number(value)}</td>`)}</tr></tbody></table></div>`
}

const meanings: Record<(typeof errorKinds)[number], Word> = {
  Cls: 'right place, wrong class',
  Loc: 'right class, poor box',
  Both: 'wrong class and poor box',
  Dupe: 'found a second time',
  Bkg: 'nothing is there',
  Miss: 'not found at all',
}

export function errorSection({ analysis: { errors } }: Measured): Markup {
  const most = Math.max(0.01, errors.falsePositive, errors.falseNegative, ...errorKinds.map((kind) => errors.kinds[kind].dAP))
  const row = (name: string, meaning: Word, dAP: number, count: number | null, color: number) =>
    markup`<tr><td>${name}</td><td>${say(meaning)}</td><td>${count === null ? '' : count}</td><td>${number(dAP)}</td><td class="wide">${bar(dAP, most, color)}</td></tr>`
  return markup`<h2>${say('Where the errors are')}</h2>
<p class="note">${say('What mending each kind of error alone would add to AP50 (TIDE, Bolya et al. 2020). The parts need not add up.')}</p>
<table class="errors"><thead><tr><th></th><th></th><th>${say('number')}</th><th>dAP</th><th class="wide"></th></tr></thead><tbody>
${errorKinds.map((kind) => row(kind, meanings[kind], errors.kinds[kind].dAP, errors.kinds[kind].count, 1))}
${row('FP', 'all false positives', errors.falsePositive, null, 3)}${row('FN', 'all false negatives', errors.falseNegative, null, 3)}</tbody></table>`
}

export function confusionSection({ analysis, perClass }: Measured): Markup {
  const { names, counts } = condensed(
    perClass.map(({ label }) => label),
    analysis.confusion,
  )
  const head = [...names.map((name) => (name === null ? say('others') : name)), say('background')]
  const rows = counts.map((row, truth) => {
    const total = row.reduce((sum, each) => sum + each, 0)
    const cells = row.map((count, said) => {
      if (truth === row.length - 1 && said === truth) return markup`<td></td>`
      const share = total > 0 ? count / total : 0
      return markup`<td class="${truth === said ? 'right' : ''}" style="background:rgb(var(--heat) / ${(share * 0.75).toFixed(2)})">${count === 0 ? '·' : count}</td>`
    })
    return markup`<tr><th class="name">${head[truth]!}</th>${cells}</tr>`
  })
  return markup`<div><h2>${say('Confusion')}</h2>
<p class="note">${say('Rows are the truth, columns what the model says, at the proposed thresholds and IoU 0.5. Shades are shares of the row.')}</p>
<div class="scroll"><table class="confusion"><thead><tr><th></th>${head.map((name) => markup`<th><span class="name">${name}</span></th>`)}</tr></thead><tbody>${rows}</tbody></table></div></div>`
}

/** The classes with most true boxes, the others in one; null names them. */
export function condensed(
  labels: readonly string[],
  confusion: readonly (readonly number[])[],
  most = mostConfused,
): { names: (string | null)[]; counts: number[][] } {
  if (labels.length <= most) return { names: [...labels], counts: confusion.map((row) => [...row]) }
  const weight = (i: number) => confusion[i]!.reduce((sum, each) => sum + each, 0)
  const kept = [...labels.keys()].sort((a, b) => weight(b) - weight(a)).slice(0, most - 1)
  const place = (i: number) => (i === labels.length ? most : kept.includes(i) ? kept.indexOf(i) : most - 1)
  const counts = Array.from({ length: most + 1 }, () => new Array<number>(most + 1).fill(0))
  for (const [truth, row] of confusion.entries())
    for (const [said, count] of row.entries()) counts[place(truth)]![place(said)]! += count
  return { names: [...kept.map((i) => labels[i]!), null], counts }
}

export function calibrationSection({ analysis: { calibration } }: Measured): Markup {
  return markup`<div><h2>${say('Calibration')}</h2>
<p class="note">${say('Does a score mean a probability? Bars: the share of detections that are right, by score. On the line it would be exact.')}</p>
${reliabilityDiagram(calibration.bins)}
<p>${say('Expected calibration error')}: <b>${number(calibration.ECE)}</b> <span class="dim">(${calibration.bins.reduce((sum, { count }) => sum + count, 0)} ${say('detections')})</span></p></div>`
}

export function worstSection(worst: readonly WorstShown[]): Markup {
  if (worst.length === 0)
    return markup`<h2>${say('Worst pictures')}</h2><p>${say('Nothing is wrong on any held-out picture.')}</p>`
  return markup`<h2>${say('Worst pictures')}</h2>
<p class="note">${say('Solid green: the truth. Dashed orange: what the model says at the proposed thresholds. Named are those that are wrong.')}</p>
<div class="pictures">${worst.map(worstPicture)}</div>`
}

function worstPicture({ name, width, height, jpeg, truths, said }: WorstShown): Markup {
  const size = Math.max(width, height) / 32
  const rect = (kind: 'truth' | 'said', [x1, y1, x2, y2]: ShownBox['box']) =>
    markup`<rect class="${kind}" x="${x1.toFixed(1)}" y="${y1.toFixed(1)}" width="${(x2 - x1).toFixed(1)}" height="${(y2 - y1).toFixed(1)}"/>`
  // The truth is named above its box, what was said below, inward where the picture ends.
  const text = (kind: 'truth' | 'said', [x1, y1, x2, y2]: ShownBox['box'], words: string) => {
    const inward = x1 > width * 0.7
    const y = kind === 'truth' ? Math.max(size, y1 - size * 0.25) : Math.min(height - size * 0.25, y2 + size * 0.95)
    return markup`<text class="by-${kind}" text-anchor="${inward ? 'end' : 'start'}" font-size="${size.toFixed(1)}" stroke-width="${(size * 0.18).toFixed(1)}" x="${(inward ? x2 : x1).toFixed(1)}" y="${y.toFixed(1)}">${words}</text>`
  }
  const missed = truths.filter(({ wrong }) => wrong)
  const spurious = said.filter(({ wrong }) => wrong).toSorted((a, b) => b.score - a.score)
  return markup`<figure><div class="picture"><img alt="${name}" width="${width}" height="${height}" src="data:image/jpeg;base64,${jpeg}"><svg viewBox="0 0 ${width} ${height}" aria-hidden="true">
${truths.map(({ box }) => rect('truth', box))}${said.map(({ box }) => rect('said', box))}${missed.map(({ box, label }) => text('truth', box, label))}${spurious.slice(0, mostNamed).map(({ box, label, score }) => text('said', box, `${label} ${score.toFixed(2)}`))}</svg></div>
<figcaption>${name} · ${missed.length} ${say('missed')}, ${spurious.length} ${say('made up')}</figcaption></figure>`
}
