/** How far a quantised file is from its float file on pictures, before suppression: what range rules and layers are compared by. */
import ort from 'onnxruntime-node'
import { type Box, iou } from '../../protocol/boxes.ts'
import { MuninnError } from '../../protocol/errors.ts'
import { scoreFloor } from '../detector/deploy.ts'
import { pruned } from '../engine/step-graph.ts'
import type { Graph } from '../onnx/graph.ts'
import { writeOnnx } from '../onnx/write.ts'

/** Boxes [cells, 4] and scores [classes, cells] of one picture. */
export interface RawOutput {
  readonly boxes: Float32Array
  readonly scores: Float32Array
}

/** What goes into the suppression of a deployed graph, which is the same whatever its head. */
export async function rawOutputs(
  graph: Graph,
  images: readonly Uint8Array[],
  { threads = 0, signal }: { threads?: number; signal?: AbortSignal } = {},
): Promise<RawOutput[]> {
  const suppression = graph.nodes.find(({ op }) => op === 'NonMaxSuppression')
  if (!suppression) throw new MuninnError('BAD_MODEL', 'the file suppresses nothing: it is no deployed model')
  const [boxes, scores] = suppression.inputs as [string, string]
  const outputs = [boxes, scores].map((name) => ({ name, type: 'float32' as const, shape: ['batch', 'rows', 'columns'] }))
  const session = await ort.InferenceSession.create(writeOnnx(pruned({ ...graph, outputs })), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  })
  try {
    const made: RawOutput[] = []
    for (const image of images) {
      signal?.throwIfAborted()
      const values = await session.run({ image: new ort.Tensor('uint8', image, graph.inputs[0]!.shape.map(Number)) })
      made.push({ boxes: values[boxes]!.data as Float32Array, scores: values[scores]!.data as Float32Array })
    }
    return made
  } finally {
    await session.release()
  }
}

/**
 * Share of the float file's scores that is lost: by another score, or by a box that no longer lies where it lay. 0 is the same. Cells
 * that neither file tells anything of do not count.
 */
export function disagreement(float: readonly RawOutput[], integer: readonly RawOutput[]): number {
  let [told, lost] = [0, 0]
  for (const [i, a] of float.entries()) {
    const b = integer[i]!
    const cells = a.boxes.length / 4
    for (let cell = 0; cell < cells; cell++) {
      let [most, other, off] = [0, 0, 0]
      for (let at = cell; at < a.scores.length; at += cells) {
        most = Math.max(most, a.scores[at]!)
        other = Math.max(other, b.scores[at]!)
        off = Math.max(off, Math.abs(a.scores[at]! - b.scores[at]!))
      }
      if (Math.max(most, other) < scoreFloor) continue
      told += most
      lost += off + most * (1 - iou(boxAt(a.boxes, cell), boxAt(b.boxes, cell)))
    }
  }
  return told > 0 ? lost / told : lost
}

const boxAt = (boxes: Float32Array, cell: number): Box => [
  boxes[cell * 4]!,
  boxes[cell * 4 + 1]!,
  boxes[cell * 4 + 2]!,
  boxes[cell * 4 + 3]!,
]
