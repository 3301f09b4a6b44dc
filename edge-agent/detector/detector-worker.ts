/** The thread that owns the onnxruntime session. */
import { parentPort } from 'node:worker_threads'
import ort from 'onnxruntime-node'
import { MuninnError } from '../../protocol/errors.ts'
import { checkDeployedModel, type DeployedShape } from './deployed-model.ts'
import type { FromWorker, ToWorker } from './detector.ts'

if (!parentPort) throw new Error('detector-worker runs as a worker thread only')
const port = parentPort
const send = (message: FromWorker, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer)

let session: ort.InferenceSession | null = null
let shape: DeployedShape = { width: 0, height: 0 }

async function load(path: string, threads: number): Promise<void> {
  session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: threads,
    // Threads that spin while they wait take a fifth of the processor from the decoders, and make no frame come sooner.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  })
  shape = checkDeployedModel(session)
  send({ kind: 'loaded', ...shape })
}

async function detect(id: number, tensor: Uint8Array): Promise<void> {
  if (!session) throw new MuninnError('INTERNAL', 'no model is loaded')
  const start = performance.now()
  const { boxes, scores, embedding } = await session.run({
    image: new ort.Tensor('uint8', tensor, [1, shape.height, shape.width, 3]),
  })
  const milliseconds = performance.now() - start
  const [b, s, e] = [floats(boxes), floats(scores), floats(embedding)]
  const count = b.length / 4
  if (!Number.isInteger(count) || (count > 0 && s.length % count !== 0))
    throw new MuninnError('BAD_MODEL', `${b.length} box numbers and ${s.length} scores do not fit`)
  const classes = count > 0 ? s.length / count : 0
  send({ kind: 'detected', id, tensor, boxes: b, scores: s, classes, embedding: e, milliseconds }, [tensor.buffer as ArrayBuffer])
}

/** Checked, for the runtime would hand over whatever type the file says. */
function floats(value: ort.OnnxValue | undefined): Float32Array {
  if (!(value instanceof ort.Tensor) || !(value.data instanceof Float32Array))
    throw new MuninnError('BAD_MODEL', 'an output is not float32')
  return value.data
}

/** Done when nothing is in the runtime any more. */
let last: Promise<unknown> = Promise.resolve()

async function stop(): Promise<void> {
  await last
  await session?.release()
  port.close()
}

port.on('message', (message: ToWorker) => {
  if (message.kind === 'stop') {
    void stop()
    return
  }
  const id = message.kind === 'detect' ? message.id : null
  const work = message.kind === 'load' ? load(message.path, message.threads) : detect(message.id, message.tensor)
  const handled = work.catch((error: unknown) => {
    const code = error instanceof MuninnError && error.code === 'BAD_MODEL' ? 'BAD_MODEL' : 'INTERNAL'
    send({ kind: 'failed', id, code, message: error instanceof Error ? error.message : String(error) })
  })
  last = Promise.all([last, handled])
})
