/** `muninn train`: a deployed model from a folder of labelled pictures, no hub needed. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import type { Quantization } from '../../protocol/http/reports.ts'
import { type Recipe, ratesOfStages } from '../../protocol/recipe.ts'
import { streetBase } from '../base/street.ts'
import { type DataSet, readDataSet } from '../data/data-set.ts'
import { pictureNames, some } from '../data/declared.ts'
import { objectsOf } from '../data/sample.ts'
import { parseDevice } from '../engine/devices/choose-device.ts'
import { parseThreads } from '../engine/threads.ts'
import { writeAside } from '../files/write-aside.ts'
import { parseRecipe } from '../loop/beyond-labels.ts'
import type { Unlabelled } from '../loop/self-train.ts'
import { trainInto } from '../loop/train-folder.ts'
import { propose } from '../quantization/propose.ts'
import { commandLine } from '../report/command.ts'
import { measureForReport } from '../report/measured.ts'
import { reportPage } from '../report/page.ts'
import { trainingReport } from '../report/training-report.ts'
import { duration, ProgressDisplay } from './progress.ts'

function toldRateDecay(text: string | undefined): Partial<Recipe> {
  const rateDecay = number(text, 'rate-decay')
  if (rateDecay === null) return {}
  const { minimum, maximum } = ratesOfStages
  if (rateDecay < minimum || rateDecay > maximum)
    throw new MuninnError('INVALID_INPUT', `--rate-decay ${text}: a number from ${minimum} to ${maximum} is wanted`)
  return { rateDecay }
}

function number(text: string | undefined, flag: string): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new MuninnError('INVALID_INPUT', `--${flag} ${text}: a number above 0 is wanted`)
  return value
}

function shareOf(text: string | undefined, flag: string): number | null {
  const share = number(text, flag)
  if (share !== null && share >= 1) throw new MuninnError('INVALID_INPUT', `--${flag} ${text}: a share below 1 is wanted`)
  return share
}

async function unlabelledOf({ unlabelled, teacher }: { unlabelled?: string; teacher?: string }): Promise<Unlabelled | null> {
  if (!unlabelled) {
    if (teacher) throw new MuninnError('INVALID_INPUT', '--teacher labels the pictures of --unlabelled, which is not given')
    return null
  }
  const names = existsSync(unlabelled) ? await readdir(unlabelled, { recursive: true }) : []
  const paths = names.filter((name) => pictureNames.test(name)).sort()
  if (paths.length === 0) throw new MuninnError('NOT_FOUND', `--unlabelled ${unlabelled} holds no pictures`)
  return { paths: paths.map((name) => join(unlabelled, name)), teacher: teacher ? await readFile(teacher) : null }
}

const baseOf = async (path: string | undefined): Promise<Uint8Array | null> => {
  if (path === 'none') return null
  return path === undefined ? await streetBase() : await readFile(path)
}

export const train = defineCommand({
  meta: {
    name: 'train',
    description: `Trains on a folder of labelled pictures and writes a deployed model. No hub is needed.

  muninn train --data street/ --base model.onnx --out run/

The folder is COCO (coco.json, images/), YOLO (data.yaml, images/, labels/; also with train/ and valid/) or Pascal VOC (Annotations/*.xml,
JPEGImages/). What is measured on is --validate, else the folder's own split, else a cut of 15 % that is made for you and told. Ctrl-C keeps
everything learnt so far; the same command goes on from there.`,
  },
  args: {
    data: { type: 'string', description: 'folder with labelled pictures', required: true },
    out: { type: 'string', description: 'folder for model.onnx, report.html, report.json and the checkpoint', required: true },
    base: {
      type: 'string',
      description:
        'deployed model to go on from; left out: the street detector that comes with Muninn; none: the built-in network from scratch',
    },
    validate: { type: 'string', description: 'folder with labelled pictures to measure the model on' },
    'skip-broken': { type: 'boolean', description: 'leave out pictures that are missing or cannot be decoded' },
    size: { type: 'string', default: '320', description: 'side of the input in pixels, a multiple of 32' },
    epochs: { type: 'string', description: 'how often each picture is seen; left out: chosen from their number' },
    minutes: { type: 'string', description: 'upper bound for the training itself' },
    'learning-rate': { type: 'string', description: 'peak of the cosine schedule' },
    freeze: {
      type: 'string',
      description: 'leave the first layers as they are: 0.5 for half of them, 3 for three stages of the backbone',
    },
    'rate-decay': {
      type: 'string',
      description:
        'factor of the learning rate for each stage further from the head, where it goes on from a model; left out: 0.5 for an adopted detector, 1 (all alike) for the built-in one',
    },
    device: {
      type: 'string',
      default: 'auto',
      description: 'cpu, webgpu, cuda or tfjs; auto measures a few steps on each that is there and says what it takes and why',
    },
    threads: { type: 'string', description: 'cores of the processor that it may keep busy; left out: all of them' },
    choose: {
      type: 'string',
      description: 'share of the training spent on choosing learning rate and augmentation by short trials, as 0.3',
    },
    unlabelled: { type: 'string', description: 'folder of pictures without labels to learn from too' },
    teacher: {
      type: 'string',
      description: 'deployed model, perhaps a larger one, that labels those; left out: the training is its own teacher',
    },
    recipe: {
      type: 'string',
      description:
        'what is not as by default, as mixup=0.5,copyPaste=0.3,repeatBelow=0.3; multiScale=0.3 changes the input size, momentum=0.9 takes SGD instead of AdamW, patience=4 cuts short a training that no longer gets better, calibrate=0.15 keeps pictures back to make scores probabilities',
    },
    batch: { type: 'string', default: '8', description: 'pictures in one update' },
    seed: { type: 'string', default: '1', description: 'same seed, same data, same machine: same model' },
    quantize: {
      type: 'boolean',
      default: true,
      description: 'also write int8.onnx, where it is much quicker and loses next to nothing',
      negativeDescription: 'leave int8 out',
    },
  },
  async run({ args }) {
    const inputSize = number(args.size, 'size')!
    if (inputSize % 32 !== 0) throw new MuninnError('INVALID_INPUT', `--size ${args.size}: a multiple of 32 is wanted`)
    const device = parseDevice(args.device)
    const threads = parseThreads(args.threads)
    const seed = number(args.seed, 'seed')!
    const display = new ProgressDisplay()
    const data = await readDataSet({
      data: args.data,
      validation: args.validate,
      skipBroken: args['skip-broken'] ?? false,
      seed,
      onPicture: (done, of) => display.counting('looks at the pictures', done, of),
    })
    for (const line of summary(data)) display.log(line)
    const stopping = new AbortController()
    process.once('SIGINT', () => {
      display.log('stops after this step (Ctrl-C again: at once)')
      stopping.abort(new MuninnError('UNAVAILABLE', `stopped; the same command goes on from ${join(args.out, 'checkpoint.bin')}`))
      process.once('SIGINT', () => process.exit(1))
    })
    if (args.base === undefined)
      display.log('starts from the street detector that comes with Muninn (--base none: from random weights)')
    const recipe = { ...parseRecipe(args.recipe), ...toldRateDecay(args['rate-decay']) }
    let mAP50: number | null = null
    const result = await trainInto(args.out, {
      data,
      base: await baseOf(args.base),
      inputSize,
      epochs: number(args.epochs, 'epochs'),
      minutes: number(args.minutes, 'minutes') ?? undefined,
      rate: number(args['learning-rate'], 'learning-rate'),
      freeze: number(args.freeze, 'freeze') ?? undefined,
      batch: number(args.batch, 'batch')!,
      recipe,
      choose: shareOf(args.choose, 'choose'),
      unlabelled: await unlabelledOf(args),
      seed,
      device,
      threads,
      signal: stopping.signal,
      onLog: (words) => display.log(words),
      onProgress: (progress) => display.training(progress, mAP50),
      onMeasured: (value) => {
        mAP50 = value
      },
    })
    display.log(
      `${join(args.out, 'model.onnx')}: ${(result.model.length / 1e6).toFixed(1)} MB after ${result.steps} steps in ${duration(result.seconds)}`,
    )
    const measured =
      data.heldOut.length === 0
        ? null
        : await measureForReport(result.model, {
            samples: data.heldOut,
            classes: data.heldOutClasses,
            threads,
            signal: stopping.signal,
            onPicture: (done) => display.counting('measures on held-out pictures', done, data.heldOut.length),
          })
    const quantization =
      data.heldOut.length > 0 && args.quantize
        ? await quantized(result.model, { data, path: join(args.out, 'int8.onnx'), threads, display, signal: stopping.signal })
        : null
    const { data: folder, out, base, validate, size, epochs, minutes, batch } = args
    const skipBroken = args['skip-broken']
    const rate = args['learning-rate']
    const flags = { data: folder, out, base, validate, 'skip-broken': skipBroken, size, epochs, minutes, batch }
    const content = await trainingReport({
      title: basename(resolve(args.data)),
      data,
      result,
      measured,
      quantization,
      command: commandLine('train', {
        ...flags,
        'learning-rate': rate,
        seed: args.seed,
        device: args.device,
        threads: args.threads,
        'no-quantize': args.quantize === false,
      }),
    })
    await writeAside(join(args.out, 'report.html'), reportPage(content))
    const numbers = measured?.analysed.numbers
    const report = {
      classes: data.classes,
      pictures: data.training.length,
      dataset: data.digest,
      steps: result.steps,
      seconds: result.seconds,
      device: result.device,
      ...(measured && {
        validation: numbers,
        milliseconds: measured.milliseconds,
        perClass: measured.analysed.perClass,
        analysis: measured.analysed.analysis,
      }),
      ...(quantization && { quantization }),
    }
    await writeAside(join(args.out, 'report.json'), JSON.stringify(report, null, 2))
    if (measured && numbers)
      display.log(
        `on ${data.heldOut.length} held-out pictures: AP ${numbers.AP.toFixed(3)}  AP50 ${numbers.AP50.toFixed(3)}; ${measured.milliseconds.toFixed(1)} ms a picture`,
      )
    display.log(`${join(args.out, 'report.html')}: curves, errors, worst pictures; open it in a browser`)
  },
})

/** Writes the int8 file where it is proposed. null: there is nothing in the model to quantise. */
async function quantized(
  model: Uint8Array,
  {
    data,
    path,
    threads,
    display,
    signal,
  }: { data: DataSet; path: string; threads: number; display: ProgressDisplay; signal: AbortSignal },
): Promise<Quantization | null> {
  try {
    const { made, judged } = await propose(model, {
      training: { samples: data.training, classes: data.classes },
      heldOut: { samples: data.heldOut, classes: data.heldOutClasses },
      threads,
      signal,
      onProgress: ({ words, step, steps }) => display.counting(words, step, steps),
    })
    const { proposed, reasons, float, int8 } = judged
    for (const reason of reasons) display.log(reason)
    if (proposed) await writeAside(path, made.model)
    display.log(proposed ? `${path}: int8 is proposed for devices; training goes on from model.onnx` : 'int8 is not proposed')
    return { proposed, reasons, float, int8 }
  } catch (error) {
    if (!(error instanceof MuninnError && error.code === 'BAD_MODEL')) throw error
    display.log(`no int8: ${error.message}`)
    return null
  }
}

function summary({ training, heldOut, classes, notes, digest }: DataSet): string[] {
  const boxes = (samples: DataSet['training']) => samples.reduce((sum, sample) => sum + objectsOf(sample).length, 0)
  return [
    `${training.length} pictures with ${boxes(training)} boxes to train on, ${heldOut.length} with ${boxes(heldOut)} held out (data ${digest.slice(0, 12)})`,
    `${classes.length} classes: ${some(classes, 12)}`,
    ...notes.map((note) => `  ${note}`),
  ]
}
