/** What the report of a training without a hub holds. */
import { createHash } from 'node:crypto'
import type { Quantization } from '../../protocol/http/reports.ts'
import type { DataSet } from '../data/data-set.ts'
import type { FolderTraining } from '../loop/train-folder.ts'
import type { ReportContent } from './content.ts'
import { countData } from './counts.ts'
import { deviceLine } from './device-line.ts'
import { machineFacts } from './machine.ts'
import type { MeasuredForReport } from './measured.ts'
import { say } from './words.ts'

export async function trainingReport({
  title,
  data,
  result,
  measured,
  quantization,
  command,
}: {
  title: string
  data: DataSet
  result: FolderTraining
  measured: MeasuredForReport | null
  quantization: Quantization | null
  command: string
}): Promise<ReportContent> {
  const { model, width, height, specification, steps, seconds, curves } = result
  return {
    title,
    at: Date.now(),
    model: {
      sha256: createHash('sha256').update(model).digest('hex'),
      bytes: model.length,
      width,
      height,
      architecture: specification.architecture,
      milliseconds: measured?.milliseconds ?? null,
    },
    curves,
    training: { steps, seconds },
    analysed: measured?.shown ?? null,
    champion: null,
    difference: null,
    quantization,
    data: countData({ ...data, classes: data.heldOutClasses }),
    command,
    settings: [
      [say('trained on'), deviceLine(result.deviceTold)],
      ...(result.stopped ? [[say('cut short'), result.stopped] as const] : []),
    ],
    machine: machineFacts(),
  }
}
