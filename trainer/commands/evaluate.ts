/** `muninn evaluate`: the 12 COCO numbers, of a results file or of a model on labelled pictures. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { readFolder } from '../data/read-folder.ts'
import { parseThreads } from '../engine/threads.ts'
import { type CocoNumbers, cocoNames, evaluateCoco } from '../evaluation/coco.ts'
import { CocoResults, CocoTruth, pair, readCoco } from '../evaluation/coco-files.ts'
import { writeAside } from '../files/write-aside.ts'
import { PictureDetector } from '../inference/detector.ts'
import { assertRuns } from '../inspection/probe.ts'
import { commandLine } from '../report/command.ts'
import { countData } from '../report/counts.ts'
import { machineFacts } from '../report/machine.ts'
import { measureForReport } from '../report/measured.ts'
import { reportPage } from '../report/page.ts'
import { ProgressDisplay } from './progress.ts'

const meanings: Record<(typeof cocoNames)[number], string> = {
  AP: 'precision, mean over IoU 0.50 to 0.95',
  AP50: 'precision at IoU 0.50',
  AP75: 'precision at IoU 0.75',
  APs: 'small objects, under 32 x 32 pixels',
  APm: 'medium objects, under 96 x 96 pixels',
  APl: 'large objects',
  AR1: 'recall with 1 detection a picture',
  AR10: 'recall with 10',
  AR100: 'recall with 100',
  ARs: 'recall of small objects',
  ARm: 'recall of medium objects',
  ARl: 'recall of large objects',
}

export function numbersTable(numbers: CocoNumbers): string[] {
  return cocoNames.map((name) => {
    const value = numbers[name]
    return `${name.padEnd(6)} ${(value < 0 ? '—' : value.toFixed(4)).padStart(6)}  ${meanings[name]}`
  })
}

export const evaluate = defineCommand({
  meta: {
    name: 'evaluate',
    description: `COCO's 12 numbers, as pycocotools counts them: of a results file against ground truth, or of a deployed model on a labelled folder.

  muninn evaluate --ground-truth gt.json --detections dt.json --json
  muninn evaluate --model model.onnx --data held-out/ --report report.html`,
  },
  args: {
    'ground-truth': { type: 'string', description: 'COCO annotations (images, annotations, categories)' },
    detections: { type: 'string', description: 'COCO results (image_id, category_id, bbox, score)' },
    model: { type: 'string', description: 'a deployed model (ONNX)' },
    data: { type: 'string', description: 'folder with labelled pictures: COCO, YOLO or VOC' },
    report: { type: 'string', description: 'with --model: where to write a page with errors, confusion, worst pictures' },
    threads: {
      type: 'string',
      description: 'with --model: cores of the processor that it may keep busy; left out: all of them',
    },
    'skip-broken': { type: 'boolean', description: 'leave out pictures that are missing or cannot be decoded' },
    json: { type: 'boolean', description: 'as JSON, for programs' },
  },
  async run({ args }) {
    const { model, data, report, detections } = args
    const truth = args['ground-truth']
    const threads = parseThreads(args.threads)
    if (truth && detections && !model && !data) {
      const { pictures, labels } = pair(await readCoco(truth, CocoTruth), await readCoco(detections, CocoResults))
      tell(evaluateCoco(pictures, labels), args.json)
    } else if (model && data && !truth && !detections) {
      tell(await evaluateModel({ model, data, report, threads, skipBroken: args['skip-broken'] ?? false }), args.json)
    } else throw new MuninnError('INVALID_INPUT', '--ground-truth with --detections, or --model with --data, is wanted')
  },
})

function tell(numbers: CocoNumbers, json: boolean | undefined): void {
  if (json) console.log(JSON.stringify(numbers))
  else for (const line of numbersTable(numbers)) console.log(line)
}

/** Progress goes to the error stream: what comes out is the numbers. */
async function evaluateModel({
  model,
  data,
  report,
  threads,
  skipBroken,
}: {
  model: string
  data: string
  report: string | undefined
  threads: number
  skipBroken: boolean
}): Promise<CocoNumbers> {
  if (!existsSync(model)) throw new MuninnError('NOT_FOUND', `there is no file ${model}`)
  await assertRuns(model)
  const display = new ProgressDisplay({ out: process.stderr })
  const bytes = await readFile(model)
  const detector = await PictureDetector.load(bytes, { threads })
  const { width, height, specification } = detector
  await detector.stop()
  const folder = await readFolder(data, {
    skipBroken,
    onPicture: (done, of) => display.counting('looks at the pictures', done, of),
  })
  const { samples, classes } = folder
  const lacking = classes.filter((name) => !specification.classes.includes(name))
  if (lacking.length === classes.length)
    throw new MuninnError(
      'INVALID_INPUT',
      `the model knows none of the folder's classes: it has ${specification.classes.slice(0, 8).join(', ')}, the folder ${classes.slice(0, 8).join(', ')}. Names must be equal to the letter`,
    )
  const notes = [...folder.notes]
  if (lacking.length > 0) notes.push(`the model lacks ${lacking.join(', ')}: all of them are missed`)
  for (const note of notes) display.log(note)
  const measured = await measureForReport(bytes, {
    samples,
    classes,
    threads,
    onPicture: (done) => display.counting('measures', done, samples.length),
  })
  if (report) {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const digest = createHash('sha256')
    digest.update(JSON.stringify([classes, samples.map((sample) => [sample.sha256, sample.labels])]))
    const page = reportPage({
      title: `${basename(resolve(model))} — ${basename(resolve(data))}`,
      at: Date.now(),
      model: {
        sha256,
        bytes: bytes.length,
        width,
        height,
        architecture: specification.architecture,
        milliseconds: measured.milliseconds,
      },
      curves: [],
      training: null,
      analysed: measured.shown,
      champion: null,
      difference: null,
      quantization: null,
      data: countData({ digest: digest.digest('hex'), classes, training: [], heldOut: samples, notes }),
      command: commandLine('evaluate', { model, data, report, 'skip-broken': skipBroken }),
      settings: [],
      machine: machineFacts(),
    })
    await writeAside(report, page)
    display.log(`${report}: errors, confusion, calibration, worst pictures`)
  }
  return measured.analysed.numbers
}
