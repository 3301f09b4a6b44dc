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

export interface StepRequest {
  readonly id: number
  readonly feeds: Feeds
}
export type StepAnswer =
  | { readonly id: number; readonly outputs: Readonly<Record<string, Float32Array>> }
  | { readonly id: number; readonly error: string }

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
  extra: { session: { set_denormal_as_zero: '1' } },
})
const views = Object.entries(shared).map(([name, buffer]) => [name, new Float32Array(buffer)] as const)
port.postMessage('ready')

port.on('message', async ({ id, feeds }: StepRequest) => {
  try {
    const inputs: Record<string, ort.Tensor> = {}
    // The runtime refuses tensors over shared memory: a copy of the parameters takes a fraction of a millisecond.
    for (const [name, view] of views) inputs[name] = new ort.Tensor('float32', view.slice(), [view.length])
    for (const [name, { type, shape, data }] of Object.entries(feeds))
      inputs[name] = new ort.Tensor(type, data as Float32Array, shape)
    const results = await session.run(inputs)
    const outputs = Object.fromEntries(Object.entries(results).map(([name, value]) => [name, value.data as Float32Array]))
    port.postMessage({ id, outputs } satisfies StepAnswer)
  } catch (error) {
    port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies StepAnswer)
  }
})
