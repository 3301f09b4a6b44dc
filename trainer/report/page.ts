/** The report as one HTML page that needs nothing else: no network, no script, light and dark, on paper, English and 中文. */
import { lineChart, type Series } from './charts.ts'
import type { ReportContent } from './content.ts'
import { calibrationSection, classSection, confusionSection, errorSection, number, worstSection } from './detection-sections.ts'
import { Markup, markup, type Piece } from './markup.ts'
import { style } from './style.ts'
import { say } from './words.ts'

/** Nothing is fetched and nothing runs, whatever a class is called. */
export const contentSecurityPolicy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

export function reportPage(content: ReportContent): string {
  const { title, at, analysed, champion } = content
  return markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy}"><title>${title}</title><style>${new Markup(style)}</style></head>
<body><main>
<header><h1>${title}</h1><span class="language"><input type="radio" name="language" id="language-en" checked><label for="language-en">English</label><input type="radio" name="language" id="language-zh"><label for="language-zh">中文</label></span></header>
<p class="dim">${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC · ${content.model.architecture} · ${content.model.width} × ${content.model.height} · ${content.model.sha256.slice(0, 12)}</p>
${figures(content)}
${analysed ? null : markup`<p>${say('Nothing was held out, so how good the model is was not measured.')}</p>`}
${championSection(content)}
${curveSection(content.curves)}
${analysed && [classSection(analysed, champion), errorSection(analysed), markup`<div class="two">${confusionSection(analysed)}${calibrationSection(analysed)}</div>`, worstSection(analysed.worst)]}
${quantizationSection(content.quantization)}
${dataSection(content.data)}
${repeatSection(content)}
</main></body></html>
`.text
}

type Interval = NonNullable<ReportContent['analysed']>['intervals']['mAP50']
const told = ({ value, low, high }: Interval) => `${number(value)} [${number(low)}, ${number(high)}]`
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`
const minutes = (seconds: number) => (seconds < 90 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`)

function figures({ analysed, model, training }: ReportContent): Markup {
  const figure = (value: string, name: Piece, about: Piece = null) =>
    markup`<div><small>${name}</small><b>${value}</b><small>${about}</small></div>`
  const interval = ({ low, high }: Interval) => `[${number(low)}, ${number(high)}]`
  return markup`<div class="figures">
${analysed && [figure(number(analysed.intervals.mAP50.value), 'mAP50', interval(analysed.intervals.mAP50)), figure(number(analysed.intervals['mAP50-95'].value), 'mAP50-95', interval(analysed.intervals['mAP50-95'])), figure(String(analysed.images), say('Held-out pictures'))]}
${model.milliseconds === null ? null : figure(`${number(model.milliseconds, 1)} ms`, say('Median time a picture'))}
${figure(megabytes(model.bytes), say('File size'))}
${training && figure(minutes(training.seconds), say('Training time'), [training.steps, ' ', say('step')])}
</div>${analysed ? markup`<p class="note">[ ]: ${say('95 % intervals over pictures')}</p>` : null}`
}

function championSection({ analysed, champion, difference, model }: ReportContent): Markup | null {
  if (!analysed || !champion) return null
  const row = (name: 'mAP50' | 'mAP50-95') => {
    const gain = difference?.[name]
    const sign = gain ? (gain.low > 0 ? 'up' : gain.high < 0 ? 'down' : '') : ''
    return markup`<tr><td>${name}</td><td>${told(champion[name])}</td><td>${told(analysed.intervals[name])}</td><td class="${sign}">${gain ? told(gain) : '—'}</td></tr>`
  }
  return markup`<h2>${say('Against the champion')}</h2><div class="scroll"><table><thead><tr><th></th><th>${say('champion')}</th><th>${say('challenger')}</th><th>${say('difference, on the same pictures')}</th></tr></thead>
<tbody>${row('mAP50')}${row('mAP50-95')}<tr><td>${say('milliseconds a picture')}</td><td>${number(champion.millisecondsPerImage, 1)}</td><td>${model.milliseconds === null ? '—' : number(model.milliseconds, 1)}</td><td></td></tr></tbody></table></div>`
}

function curveSection(curves: ReportContent['curves']): Markup | null {
  if (curves.length === 0) return null
  const steps = { label: 'step', from: 0, to: Math.max(...curves.map(({ step }) => step)) } as const
  const series = (name: string, word: Piece, color: number, dots = false): Series => ({
    name: word,
    color,
    dots,
    points: curves.flatMap(({ step, values }) => (values[name] === undefined ? [] : [[step, values[name]] as const])),
  })
  const drawn = (...all: Series[]) => all.filter(({ points }) => points.length > 0)
  const losses = drawn(series('loss', say('all'), 1), series('boxLoss', say('boxes'), 2), series('classLoss', say('classes'), 3))
  const precision = drawn(series('mAP50', 'mAP50', 1, true), series('mAP50-95', 'mAP50-95', 5, true))
  const highest = Math.max(0, ...losses.flatMap(({ points }) => points.map(([, value]) => value)))
  return markup`<h2>${say('Curves')}</h2><div class="two">
${losses.length > 0 ? markup`<div><h3>${say('Loss')}</h3>${lineChart({ series: losses, x: steps, y: { label: 'Loss', from: 0, to: highest }, title: 'loss' })}</div>` : null}
${precision.length > 0 ? markup`<div><h3>${say('mAP while training')}</h3>${lineChart({ series: precision, x: steps, y: { label: 'precision', from: 0, to: 1 }, title: 'mAP' })}</div>` : null}
</div>`
}

function quantizationSection(quantization: ReportContent['quantization']): Markup | null {
  if (!quantization) return null
  const { proposed, reasons, float, int8 } = quantization
  const row = (name: Piece, file: typeof float) =>
    markup`<tr><td>${name}</td><td>${number(file.mAP50)}</td><td>${number(file['mAP50-95'])}</td><td>${number(file.milliseconds, 2)}</td><td>${megabytes(file.bytes)}</td></tr>`
  return markup`<h2>${say('Float and int8')}</h2><p class="verdict">${say(proposed ? 'int8 is proposed' : 'The float file is proposed')}</p>
<div class="scroll"><table><thead><tr><th></th><th>mAP50</th><th>mAP50-95</th><th>${say('milliseconds a picture')}</th><th>${say('size')}</th></tr></thead><tbody>${row(say('float'), float)}${row('int8', int8)}</tbody></table></div>
<ul class="notes">${reasons.map((reason) => markup`<li>${reason}</li>`)}</ul>`
}

function dataSection(data: ReportContent['data']): Markup | null {
  if (!data) return null
  const { digest, splits, perClass, notes } = data
  const used = splits.filter(({ pictures }) => pictures > 0)
  return markup`<h2>${say('Data')}</h2><dl><dt>${say('Digest')}</dt><dd><code>${digest}</code></dd></dl><p class="note">${say('The same digest is the same pictures, labels and split.')}</p>
<div class="two"><div class="scroll"><table><thead><tr><th></th><th>${say('pictures')}</th><th>${say('boxes')}</th><th>${say('showing nothing')}</th></tr></thead><tbody>
${used.map(({ name, pictures, boxes, empty }) => markup`<tr><td>${say(name)}</td><td>${pictures}</td><td>${boxes}</td><td>${empty}</td></tr>`)}</tbody></table></div>
<div class="scroll"><table><thead><tr><th class="name">${say('Class')}</th>${used.map(({ name }) => markup`<th>${say(name)}</th>`)}</tr></thead><tbody>
${perClass.map(({ label, ...counts }) => markup`<tr><td class="name">${label}</td>${used.map(({ name }) => markup`<td>${name === 'training' ? counts.training : counts.heldOut}</td>`)}</tr>`)}</tbody></table></div></div>
${notes.length > 0 ? markup`<h3>${say('Notes')}</h3><ul class="notes">${notes.map((note) => markup`<li>${note}</li>`)}</ul>` : null}`
}

function repeatSection({ command, settings, machine }: ReportContent): Markup {
  const list = (entries: ReportContent['settings']) =>
    markup`<dl>${entries.map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`
  return markup`<h2>${say('To repeat it')}</h2>${command === null ? null : markup`<pre>${command}</pre>`}
<div class="two">${settings.length > 0 ? markup`<div><h3>${say('Settings')}</h3>${list(settings)}</div>` : null}<div><h3>${say('Machine')}</h3>${list(machine)}</div></div>`
}
