/**
 * A thread that decodes, augments and assigns: micro-batches come out ready to be fed. One depends on the seed, its step and its part
 * alone, whichever thread makes it; a picture that one thread has decoded lies in memory that all of them share.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { letterboxScale } from '../../protocol/boxes.ts'
import { type Picture, resizeInto } from '../../protocol/letterbox.ts'
import { type Cells, cellsOf } from '../detector/cells.ts'
import { roomFor, targetOptionsOf } from '../detector/heads/table.ts'
import { Random } from '../detector/random.ts'
import type { Specification } from '../detector/specification.ts'
import { targetsOf } from '../detector/targets.ts'
import type { Feeds } from '../engine/feeds.ts'
import { lowerOwnThread } from '../priority.ts'
import { type Augmentation, canvasOf, type Input, type Labelled, mixed, mosaic, plain, single } from './augment.ts'
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
  /** Pictures in a micro-batch, and micro-batches in a step. */
  readonly batch: number
  readonly parts: number
  readonly seed: number
  readonly cacheBytes: number
}
/** With the memory that all threads write their pictures to. */
export interface LoaderWork extends LoaderSetup {
  readonly pictures: SharedArrayBuffer
}

/** A decoded picture that a thread keeps, for the others to keep as well. */
export interface Kept {
  readonly kept: number
  readonly sample: Labelled
}
/** Asks for a micro-batch of a step. */
export interface BatchRequest {
  readonly step: number
  readonly part: number
  /** Where its pictures are written, in bytes. */
  readonly place: number
  readonly input: Input
  /** The last part of a training goes with less. */
  readonly augmentation: Augmentation
}
export type LoaderRequest = BatchRequest | Kept
export type LoaderAnswer =
  | { readonly step: number; readonly part: number; readonly feeds: Feeds }
  | { readonly step: number; readonly part: number; readonly error: string }
  | Kept

if (!parentPort) throw new Error('loader-worker runs as a worker thread only')
const port = parentPort
// The threads that compute wait for each other at the end of each step: a batch that is made ahead takes what they leave, instead of holding
// one of them up. Loading then costs a step 5 % on two cores instead of 13. At the lowest priority (19) it would be 1 %, but 60 % where others
// take the cores at a normal one. In a trainer that has lowered itself (10) it is the lowest all the same, and nearer to those that compute.
lowerOwnThread(15)
const setup = workerData as LoaderWork
const { samples, specification, width, height, batch, parts, seed } = setup
const cells = new Map<string, Cells>()
const targets = targetOptionsOf(specification, batch, roomFor(samples))
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
  const stretched = specification.resize === 'stretch'
  // A model whose pictures are stretched sees them in its input's proportions; augmentation then scales both sides alike.
  const share = Math.min(1, scale)
  const size = stretched
    ? { width: width * 1.5 * (share / scale), height: height * 1.5 * (share / scale) }
    : { width: picture.width * share, height: picture.height * share }
  const made = shared({ picture, labels }, size)
  if (keep(index, made)) port.postMessage({ kept: index, sample: made } satisfies Kept)
  return made
}

/** In memory that every thread sees, at about this size. */
function shared({ picture, labels }: Labelled, about: { width: number; height: number }): Labelled {
  const size = { width: Math.max(1, Math.round(about.width)), height: Math.max(1, Math.round(about.height)) }
  const own = { ...size, data: new Uint8Array(new SharedArrayBuffer(size.width * size.height * 3)) }
  if (size.width === picture.width && size.height === picture.height) own.data.set(picture.data)
  else resizeInto(picture, own, { x: 0, y: 0, ...size })
  const [fx, fy] = [size.width / picture.width, size.height / picture.height]
  const moved = labels.map(({ box, ...rest }) => ({
    ...rest,
    box: [box[0] * fx, box[1] * fy, box[2] * fx, box[3] * fy] as const,
  }))
  return { picture: own, labels: moved }
}

/** Whether there was room for it. */
function keep(index: number, sample: Labelled): boolean {
  const { length } = sample.picture.data
  if (cache.has(index) || cached + length > setup.cacheBytes) return false
  cache.set(index, sample)
  cached += length
  return true
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

/** One picture of a batch, augmented, which is drawn on this canvas. */
async function augmented(first: Labelled, canvas: Picture, augmentation: Augmentation, random: Random): Promise<Labelled> {
  const other = () => load(random.integer(samples.length))
  const chance = random.uniform()
  // A share stays as it will be evaluated: the model must also know its camera as it is.
  if (chance >= 1 - augmentation.plain) return plain(first, canvas)
  let made =
    chance < augmentation.mosaic
      ? mosaic([first, await other(), await other(), await other()], canvas, augmentation, random)
      : single(first, canvas, augmentation, random)
  // No chance is drawn for what the recipe leaves out, so that one recipe's pictures do not depend on the others' options.
  if (augmentation.copyPaste > 0 && random.uniform() < augmentation.copyPaste)
    made = pasted(made, single(await other(), canvasOf(canvas), augmentation, random), random)
  if (augmentation.mixup > 0 && chance < augmentation.mosaic * augmentation.mixup)
    made = mixed(made, single(await other(), canvasOf(canvas), augmentation, random))
  return made
}

async function make({ step, part, place, input, augmentation }: BatchRequest): Promise<Feeds> {
  const random = new Random(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(step * parts + part + 1, 0x85ebca6b))
  const canvas = canvasOf(input)
  const pictures = new Uint8Array(setup.pictures, place, batch * canvas.data.length)
  const labels = []
  for (let i = 0; i < batch; i++) {
    const at = (step * parts + part) * batch + i
    const first = await load(orderOf(Math.floor(at / samples.length))[at % samples.length]!)
    const made = await augmented(first, canvas, augmentation, random)
    pictures.set(made.picture.data, i * canvas.data.length)
    labels.push(made.labels)
  }
  return {
    image: { type: 'uint8', shape: [batch, input.height, input.width, 3], data: pictures },
    ...targetsOf(labels, {
      cells: cellsFor(input),
      ...targets,
      partial,
    }),
  }
}

let last: Promise<void> = Promise.resolve()
port.on('message', (request: LoaderRequest) => {
  if ('kept' in request) {
    keep(request.kept, request.sample)
    return
  }
  const { step, part } = request
  last = last.then(async () => {
    try {
      port.postMessage({ step, part, feeds: await make(request) } satisfies LoaderAnswer)
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error)
      port.postMessage({ step, part, error: words } satisfies LoaderAnswer)
    }
  })
})
