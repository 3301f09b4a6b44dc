/** The thread that decodes, augments and assigns: batches come out ready to be fed. A batch depends on the seed and its step alone. */
import { parentPort, workerData } from 'node:worker_threads'
import { letterboxScale } from '../../protocol/boxes.ts'
import { resizeInto } from '../../protocol/letterbox.ts'
import { type Cells, cellsOf } from '../detector/cells.ts'
import { headOf } from '../detector/heads/table.ts'
import { Random } from '../detector/random.ts'
import type { Specification } from '../detector/specification.ts'
import { targetsOf } from '../detector/targets.ts'
import type { Feeds } from '../engine/step-worker.ts'
import { type Augmentation, type Input, type Labelled, mixed, mosaic, plain, single } from './augment.ts'
import { pasted } from './paste.ts'
import { decodePicture } from './picture.ts'
import { isPartial, type LabelledSample } from './sample.ts'
import { epochOrder } from './sampling.ts'

export interface LoaderSetup {
  readonly samples: readonly LabelledSample[]
  /** How often each comes in an epoch, on average; their sum is their number. */
  readonly shares: readonly number[]
  /** The largest input that is asked for. */
  readonly width: number
  readonly height: number
  readonly specification: Specification
  readonly positives: number
  /** Pictures in a micro-batch, and micro-batches in a step. */
  readonly batch: number
  readonly parts: number
  readonly seed: number
  readonly cacheBytes: number
}

export interface BatchRequest {
  readonly step: number
  readonly input: Input
  /** The last part of a training goes with less. */
  readonly augmentation: Augmentation
}
export type BatchAnswer =
  | { readonly step: number; readonly batches: readonly Feeds[] }
  | { readonly step: number; readonly error: string }

if (!parentPort) throw new Error('loader-worker runs as a worker thread only')
const port = parentPort
const setup = workerData as LoaderSetup
const { samples, specification, width, height, batch, parts, seed } = setup
const cells = new Map<string, Cells>()
const { oneHot, assign } = headOf(specification)
const partial = isPartial(samples)
const cache = new Map<number, Labelled>()
let cached = 0

/** Decoded once and kept at no more than one and a half times what the input can show. */
async function load(index: number): Promise<Labelled> {
  const known = cache.get(index)
  if (known) return known
  const { path, labels } = samples[index]!
  const picture = await decodePicture(path)
  const scale = letterboxScale(picture, { width: width * 1.5, height: height * 1.5 })
  let made: Labelled = { picture, labels }
  const stretched = specification.resize === 'stretch'
  if (scale < 1 || stretched) {
    // A model whose pictures are stretched sees them in its input's proportions; augmentation then scales both sides alike.
    const share = 1.5 * Math.min(1, 1 / scale)
    const size = stretched
      ? { width: Math.max(1, Math.round(width * share)), height: Math.max(1, Math.round(height * share)) }
      : { width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)) }
    const small = { ...size, data: new Uint8Array(size.width * size.height * 3) }
    resizeInto(picture, small, { x: 0, y: 0, ...size })
    const [fx, fy] = [size.width / picture.width, size.height / picture.height]
    made = {
      picture: small,
      labels: labels.map(({ box, ...rest }) => ({ ...rest, box: [box[0] * fx, box[1] * fy, box[2] * fx, box[3] * fy] as const })),
    }
  }
  cached += made.picture.data.length
  if (cached <= setup.cacheBytes) cache.set(index, made)
  return made
}

function cellsFor(input: Input): Cells {
  const key = `${input.width} ${input.height}`
  const known = cells.get(key) ?? cellsOf({ ...input, ...specification })
  cells.set(key, known)
  return known
}

/** The order of an epoch; every picture as often as its share says. */
const orders = new Map<number, number[]>()
function orderOf(epoch: number): number[] {
  const known = orders.get(epoch)
  if (known) return known
  orders.clear()
  const order = epochOrder(setup.shares, seed * 1000003 + epoch)
  orders.set(epoch, order)
  return order
}

/** One picture of a batch, augmented. */
async function augmented(
  first: Labelled,
  { input, augmentation }: Pick<BatchRequest, 'input' | 'augmentation'>,
  random: Random,
): Promise<Labelled> {
  const other = () => load(random.integer(samples.length))
  const chance = random.uniform()
  // A share stays as it will be evaluated: the model must also know its camera as it is.
  if (chance >= 1 - augmentation.plain) return plain(first, input)
  let made =
    chance < augmentation.mosaic
      ? mosaic([first, await other(), await other(), await other()], input, augmentation, random)
      : single(first, input, augmentation, random)
  // No chance is drawn for what the recipe leaves out, so that one recipe's pictures do not depend on the others' options.
  if (augmentation.copyPaste > 0 && random.uniform() < augmentation.copyPaste)
    made = pasted(made, single(await other(), input, augmentation, random), random)
  if (augmentation.mixup > 0 && chance < augmentation.mosaic * augmentation.mixup)
    made = mixed(made, single(await other(), input, augmentation, random))
  return made
}

async function make({ step, input, augmentation }: BatchRequest): Promise<Feeds[]> {
  const random = new Random(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b))
  const batches: Feeds[] = []
  for (let part = 0; part < parts; part++) {
    const pictures = new Uint8Array(batch * input.width * input.height * 3)
    const labels = []
    for (let i = 0; i < batch; i++) {
      const at = (step * parts + part) * batch + i
      const first = await load(orderOf(Math.floor(at / samples.length))[at % samples.length]!)
      const made = await augmented(first, { input, augmentation }, random)
      pictures.set(made.picture.data, i * input.width * input.height * 3)
      labels.push(made.labels)
    }
    batches.push({
      image: { type: 'uint8', shape: [batch, input.height, input.width, 3], data: pictures },
      ...targetsOf(labels, {
        cells: cellsFor(input),
        classes: specification.classes.length,
        positives: setup.positives,
        oneHot,
        partial,
        assign,
      }),
    })
  }
  return batches
}

let last: Promise<void> = Promise.resolve()
port.on('message', (request: BatchRequest) => {
  last = last.then(async () => {
    try {
      const batches = await make(request)
      port.postMessage(
        { step: request.step, batches } satisfies BatchAnswer,
        batches.map(({ image }) => image!.data.buffer as ArrayBuffer),
      )
    } catch (error) {
      port.postMessage({
        step: request.step,
        error: error instanceof Error ? error.message : String(error),
      } satisfies BatchAnswer)
    }
  })
})
