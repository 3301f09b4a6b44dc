/** The report of a hub's run as a page: the same as for a training without a hub, with the champion beside it. */
import type { RunReport } from '../../protocol/http/reports.ts'
import type { Run } from '../../protocol/http/runs.ts'
import type { TrainingSettings } from '../../protocol/http/training-settings.ts'
import type { TrainResult } from '../loop/train.ts'
import type { CurvePoint } from '../loop/train-folder.ts'
import { quoted } from '../report/command.ts'
import { countData } from '../report/counts.ts'
import { deviceLine } from '../report/device-line.ts'
import { machineFacts } from '../report/machine.ts'
import { reportPage } from '../report/page.ts'
import { showWorst } from '../report/pictures.ts'
import { say } from '../report/words.ts'
import type { Judged } from './report.ts'
import type { SplitData } from './run-data.ts'

export async function runPage({
  run,
  machine,
  report,
  challenger,
  result,
  training,
  heldOut,
  curves,
}: {
  run: Run
  machine: string
  report: RunReport
  challenger: Judged & { readonly model: Uint8Array }
  result: TrainResult
  training: SplitData
  heldOut: SplitData
  curves: readonly CurvePoint[]
}): Promise<string> {
  const { classes, digest } = run.dataset
  const { evaluation, analysed } = challenger
  const names = heldOut.records.map(({ camera, capturedAt }) => `${camera} ${new Date(capturedAt).toISOString().slice(0, 19)}Z`)
  // What a person with a token of the role manager sends to have the same run again.
  const wanted = { dataset: run.dataset.id, base: run.base, settings: run.settings }
  return reportPage({
    title: `Run ${run.id}`,
    at: Date.now(),
    model: {
      sha256: evaluation.model,
      bytes: challenger.model.length,
      width: result.width,
      height: result.height,
      architecture: result.specification.architecture,
      milliseconds: evaluation.images > 0 ? evaluation.millisecondsPerImage : null,
    },
    curves,
    training: { steps: result.steps, seconds: result.seconds },
    analysed:
      evaluation.images > 0
        ? { ...analysed, worst: await showWorst(analysed.worst, { samples: heldOut.samples, names, classes }) }
        : null,
    champion: report.champion,
    difference: report.difference,
    quantization: report.quantization ?? null,
    data: countData({ digest, classes, training: training.samples, heldOut: heldOut.samples, notes: [] }),
    command: `curl -X POST "$HUB/api/runs" -H "authorization: Bearer $TOKEN" -H "content-type: application/json" -d ${quoted(JSON.stringify(wanted))}`,
    settings: [
      ['dataset version', String(run.dataset.id)],
      [say('trained on'), [machine, ' · ', deviceLine(result.deviceTold)]],
      ...(result.stopped ? [[say('cut short'), result.stopped] as const] : []),
      ...settingRows(run.settings),
    ],
    machine: machineFacts(),
  })
}

/** Null means what the trainer chose, except where it means that nothing of the kind was asked for. */
function settingRows({ recipe, choose, unlabelled, teacher, ...settings }: TrainingSettings): [string, string][] {
  return [
    ...Object.entries(settings).map(([name, value]): [string, string] => [name, String(value ?? 'chosen')]),
    ...Object.entries(recipe).map(([name, value]): [string, string] => [name, String(value ?? 'as many as there are')]),
    ...(choose === null ? [] : [['share spent on choosing', String(choose)] as [string, string]]),
    ...(unlabelled === 0 ? [] : [['pictures without labels, at most', String(unlabelled)] as [string, string]]),
    ...(teacher === null ? [] : [['teacher', teacher] as [string, string]]),
  ]
}
