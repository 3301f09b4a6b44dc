/** A thread with its own step session: `session.run` blocks, and several sessions with one thread each beat one with several. */
import { parentPort, workerData } from 'node:worker_threads'
import ort from 'onnxruntime-node'

/** Plain typed arrays with their shapes: what crosses between threads. */
export interface Feed {
  readonly type: 'float32' | 'uint8' | 'int64' | 'int32'
  readonly shape: readonly number[]
  readonly data: Float32Array | Uint8Array | BigInt64Array | Int32Array
}
export type Feeds = Readonly<Record<string, Feed>>

/** Flat float32 vectors by the name of their output. */
export type Vectors = Readonly<Record<string, Float32Array<ArrayBuffer>>>

export interface StepRequest {
  readonly id: number
  readonly feeds: Feeds
  /** Memory for the outputs: it moves to the worker and back, for fresh memory at each step costs more than the numbers in it. */
  readonly outputs: Vectors
}
export type StepAnswer =
  | { readonly id: number; readonly outputs: Vectors }
  | { readonly id: number; readonly outputs: Vectors; readonly error: string }

/** `shared`: flat vectors that every thread sees, fed under their names. */
export interface WorkerSetup {
  readonly model: Uint8Array
  readonly shared: Readonly<Record<string, SharedArrayBuffer>>
  readonly threads: number
}

if (!parentPort) throw new Error('step-worker runs as a worker thread only')
const port = parentPort
const { model, shared, threads } = workerData as WorkerSetup

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
// The runtime refuses tensors over shared memory: a copy of the parameters takes a fraction of a millisecond.
const copies = Object.entries(shared)
  .filter(([name]) => session.inputNames.includes(name))
  .map(([name, buffer]) => {
    const view = new Float32Array(buffer)
    return { name, view, tensor: new ort.Tensor('float32', new Float32Array(view.length), [view.length]) }
  })
port.postMessage('ready')

port.on('message', async ({ id, feeds, outputs }: StepRequest) => {
  const move = Object.values(outputs).map(({ buffer }) => buffer)
  try {
    const inputs: Record<string, ort.Tensor> = {}
    for (const { name, view, tensor } of copies) {
      ;(tensor.data as Float32Array).set(view)
      inputs[name] = tensor
    }
    for (const [name, { type, shape, data }] of Object.entries(feeds))
      inputs[name] = new ort.Tensor(type, data as Float32Array, shape)
    const fetches = Object.entries(outputs).map(([name, data]) => [name, new ort.Tensor('float32', data, [data.length])] as const)
    await session.run(inputs, Object.fromEntries(fetches))
    port.postMessage({ id, outputs } satisfies StepAnswer, move)
  } catch (error) {
    port.postMessage({ id, outputs, error: error instanceof Error ? error.message : String(error) } satisfies StepAnswer, move)
  }
})
