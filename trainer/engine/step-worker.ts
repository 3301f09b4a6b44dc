/**
 * A thread with its own step session: `session.run` blocks, and several sessions with one thread each beat one with several. Between the
 * steps it takes its share of the update. Vectors lie in memory that all threads see.
 */
import { parentPort, workerData } from 'node:worker_threads'
import ort from 'onnxruntime-node'
import type { SharedMemory } from '../../protocol/web-assembly.ts'
import { elementCount } from '../onnx/graph.ts'
import type { Feed, Feeds } from './feeds.ts'
import type { StepGraph } from './step-graph.ts'
import { type Range, type Update, Updater } from './update.ts'
import type { SharedVector, SharedVectors } from './vectors.ts'

export interface Pass {
  readonly feeds: Feeds
  /** Flat vectors that are fed under their names. They are read again only when `version` is another than the last pass's. */
  readonly given: SharedVectors
  readonly version: number
  /** Where the outputs of these names are written. */
  readonly outputs: SharedVectors
}

/** What a thread can be asked for: the values are the arguments. */
export type Work =
  | { readonly pass: Pass }
  | { readonly mean: readonly SharedVector[]; readonly weights: readonly number[]; readonly range: Range }
  | { readonly update: Update; readonly range: Range }

/** What comes back: what `Updater.takeMean` gives, of the others nothing. */
export type Result = null | readonly number[]

export type StepRequest = { readonly id: number; readonly work: Work }
export type StepAnswer = { readonly id: number; readonly result: Result } | { readonly id: number; readonly error: string }

export interface WorkerSetup {
  readonly model: Uint8Array
  readonly threads: number
  /** Where the vectors of all that it is asked for lie, and those of them that the session takes or gives in pieces. */
  readonly memory: SharedMemory
  readonly pieces: StepGraph['pieces']
}

if (!parentPort) throw new Error('step-worker runs as a worker thread only')
const port = parentPort
const { model, threads, memory, pieces } = workerData as WorkerSetup
const updater = new Updater(memory)

// Memory patterns would add a second copy of the first run's arena; without optimisation the graph is created four times faster and runs alike.
const session = await ort.InferenceSession.create(model, {
  executionProviders: ['cpu'],
  enableMemPattern: false,
  graphOptimizationLevel: 'disabled',
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  // A DequantizeLinear that several nodes read would be run once for each of them (onnxruntime's EnsureUniqueDQForNodeUnit).
  extra: { session: { set_denormal_as_zero: '1', disable_quant_qdq: '1' } },
})

/** A copy of a vector, for the runtime refuses tensors over shared memory, and the tensors that it is for the session. */
interface Own {
  readonly values: Float32Array
  readonly tensors: Readonly<Record<string, ort.Tensor>>
}

/** Made once. */
const owned = new Map<string, Own>()
const known = new Set([...session.inputNames, ...session.outputNames])

function ownOf(name: string, { length }: SharedVector): Own {
  const before = owned.get(name)
  if (before?.values.length === length) return before
  const values = new Float32Array(length)
  const made = (pieces[name] ?? [{ name, shape: [length], offset: 0 }])
    .filter((each) => known.has(each.name))
    .map(({ name: tensor, shape, offset }) => {
      const end = offset + elementCount(shape)
      return [tensor, new ort.Tensor('float32', values.subarray(offset, end), shape)] as const
    })
  const own = { values, tensors: Object.fromEntries(made) }
  owned.set(name, own)
  return own
}

const copies = new Map<string, Feed['data']>()

/** What is fed, in memory of this thread's own. */
function ownFeed(name: string, { type, shape, data }: Feed): ort.Tensor {
  if (!(data.buffer instanceof SharedArrayBuffer)) return new ort.Tensor(type, data as Float32Array, shape)
  const before = copies.get(name)
  const copy = before?.length === data.length ? before : data.slice()
  if (copy === before) copy.set(data as never)
  else copies.set(name, copy)
  return new ort.Tensor(type, copy as Float32Array, shape)
}

let read: number | undefined

async function runPass({ feeds, given, version, outputs }: Pass): Promise<void> {
  const inputs: Record<string, ort.Tensor> = {}
  for (const [name, vector] of Object.entries(given)) {
    const { values, tensors } = ownOf(name, vector)
    Object.assign(inputs, tensors)
    if (version !== read) values.set(vector)
  }
  read = version
  for (const [name, feed] of Object.entries(feeds)) inputs[name] = ownFeed(name, feed)
  const filled = Object.entries(outputs).map(([name, vector]) => [vector, ownOf(name, vector)] as const)
  await session.run(inputs, Object.assign({}, ...filled.map(([, { tensors }]) => tensors)))
  for (const [vector, { values }] of filled) vector.set(values)
}

async function done(work: Work): Promise<Result> {
  if ('mean' in work) return updater.takeMean(work.mean, work.weights, work.range)
  if ('update' in work) updater.applyUpdate(work.update, work.range)
  else await runPass(work.pass)
  return null
}

port.postMessage('ready')
port.on('message', async ({ id, work }: StepRequest) => {
  try {
    port.postMessage({ id, result: await done(work) } satisfies StepAnswer)
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies StepAnswer)
  }
})
