/** `muninn train`: a deployed model from a folder of labelled pictures, no hub needed. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { readFolder } from '../data/read-folder.ts'
import { evaluateCoco } from '../evaluation/coco.ts'
import { measureModel } from '../evaluation/measure.ts'
import { writeAside } from '../files/write-aside.ts'
import { type TrainingProgress, train as trainModel } from '../loop/train.ts'

function number(text: string | undefined, flag: string): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new MuninnError('INVALID_INPUT', `--${flag} ${text}: a number above 0 is wanted`)
  return value
}

/** One line that is drawn over in a terminal, and a line now and then elsewhere. */
function show({ step, steps, epoch, losses, imagesPerSecond, etaSeconds }: TrainingProgress): void {
  const share = step / steps
  const bar = '█'.repeat(Math.round(share * 24)).padEnd(24, '░')
  const eta = etaSeconds > 90 ? `${(etaSeconds / 60).toFixed(1)} min` : `${etaSeconds.toFixed(0)} s`
  const line = `${bar} ${(share * 100).toFixed(0).padStart(3)} %  step ${step}/${steps}  epoch ${epoch.toFixed(1)}  loss ${losses.loss?.toFixed(3)}  ${imagesPerSecond.toFixed(1)} img/s  ${eta} left`
  if (process.stdout.isTTY) process.stdout.write(`\r${line}\x1b[K${step === steps ? '\n' : ''}`)
  else if (step % 50 === 0 || step === steps) console.log(line)
}

export const train = defineCommand({
  meta: {
    name: 'train',
    description: `Trains on a folder (coco.json and images/, or YOLO's images/ and labels/) and writes a deployed model. Ctrl-C keeps a checkpoint; the same command goes on from it.

  muninn train --data street/ --base model.onnx --out run/`,
  },
  args: {
    data: { type: 'string', description: 'folder with labelled pictures', required: true },
    out: { type: 'string', description: 'folder for model.onnx, its checkpoint and report.json', required: true },
    base: { type: 'string', description: 'deployed model to go on from; left out: the built-in network from scratch' },
    validate: { type: 'string', description: 'folder with labelled pictures to measure the model on at the end' },
    size: { type: 'string', default: '320', description: 'side of the input in pixels, a multiple of 32' },
    epochs: { type: 'string', description: 'how often each picture is seen; left out: chosen from their number' },
    minutes: { type: 'string', description: 'upper bound for the training itself' },
    'learning-rate': { type: 'string', description: 'peak of the cosine schedule' },
    batch: { type: 'string', default: '8', description: 'pictures in one update' },
    seed: { type: 'string', default: '1', description: 'same seed, same data, same machine: same model' },
  },
  async run({ args }) {
    const { classes, samples } = await readFolder(args.data)
    const inputSize = number(args.size, 'size')!
    if (inputSize % 32 !== 0) throw new MuninnError('INVALID_INPUT', `--size ${args.size}: a multiple of 32 is wanted`)
    const checkpoint = join(args.out, 'checkpoint.bin')
    const stopping = new AbortController()
    process.once('SIGINT', () =>
      stopping.abort(new MuninnError('UNAVAILABLE', `stopped; the same command goes on from ${checkpoint}`)),
    )
    console.log(
      `${samples.length} pictures, ${samples.reduce((sum, { labels }) => sum + labels.length, 0)} boxes, ${classes.length} classes: ${classes.join(', ')}`,
    )
    const result = await trainModel({
      base: args.base ? await readFile(args.base) : null,
      classes,
      samples,
      inputSize,
      epochs: number(args.epochs, 'epochs'),
      minutes: number(args.minutes, 'minutes') ?? undefined,
      rate: number(args['learning-rate'], 'learning-rate'),
      batch: number(args.batch, 'batch')!,
      seed: number(args.seed, 'seed')!,
      resume: existsSync(checkpoint) ? await readFile(checkpoint) : null,
      onCheckpoint: (bytes) => writeAside(checkpoint, bytes),
      onProgress: show,
      onLog: (words) => console.log(words),
      signal: stopping.signal,
    })
    const path = join(args.out, 'model.onnx')
    await writeAside(path, result.model)
    console.log(
      `${path}: ${(result.model.length / 1e6).toFixed(1)} MB after ${result.steps} steps in ${(result.seconds / 60).toFixed(1)} min`,
    )
    const report: Record<string, unknown> = { classes, pictures: samples.length, steps: result.steps, seconds: result.seconds }
    if (args.validate) {
      const held = await readFolder(args.validate)
      const { pictures, milliseconds } = await measureModel(result.model, { samples: held.samples, classes: held.classes })
      const numbers = evaluateCoco(pictures, [...held.classes.keys()])
      Object.assign(report, { validation: numbers, milliseconds })
      console.log(
        `on ${pictures.length} held-out pictures: AP ${numbers.AP.toFixed(3)}  AP50 ${numbers.AP50.toFixed(3)}; ${milliseconds.toFixed(1)} ms a picture`,
      )
    }
    await writeAside(join(args.out, 'report.json'), JSON.stringify(report, null, 2))
  },
})
