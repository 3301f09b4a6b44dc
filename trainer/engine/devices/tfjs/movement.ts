/** Ops that move values about. Shapes are known before the run, so most are a reshape to the inferred one. */

import { resizeMatrices } from '../../../gradients/resize.ts'
import { intOf, intsOf, normalAxis, textOf } from '../../../onnx/shapes.ts'
import type { Call, Op, Tensor, TF } from './call.ts'

const reshape: Op = (c) => c.tf.reshape(c.x(), c.to())

/** Pads where an amount is above zero, crops where it is below (ONNX, Pad: negative pads remove elements). */
export function padOrCrop(tf: TF, x: Tensor, before: readonly number[], after: readonly number[], value = 0): Tensor {
  const add = (amount: number) => Math.max(amount, 0)
  const begin = before.map((amount) => add(-amount))
  const cropped = [...before, ...after].some((amount) => amount < 0)
    ? tf.slice(
        x,
        begin,
        x.shape.map((size: number, i: number) => size - begin[i]! - add(-after[i]!)),
      )
    : x
  const pads = before.map((amount, i): [number, number] => [add(amount), add(after[i]!)])
  return pads.some(([a, b]) => a + b > 0) ? tf.pad(cropped, pads, value) : cropped
}

/** Integers 0, 1, ... along one axis of a shape, the same along the others. */
const counted = ({ tf }: Call, shape: readonly number[], axis: number): Tensor => {
  const line = tf.reshape(
    tf.range(0, shape[axis]!, 1, 'int32'),
    shape.map((size, i) => (i === axis ? size : 1)),
  )
  return tf.broadcastTo(line, [...shape])
}

/** Indices along one axis (GatherElements, ScatterElements) as whole coordinates. */
function coordinates(c: Call): Tensor {
  const shape = c.from(1)
  const axis = normalAxis(intOf(c.node.attributes.axis, 0), shape.length)
  return c.tf.stack(
    shape.map((_, i) => (i === axis ? counting(c, c.x(1), c.from(0)[axis]!) : counted(c, shape, i))),
    shape.length,
  )
}

/** Indices counted from the end are negative. A plain number would make floats of them. */
const counting = ({ tf }: Call, indices: Tensor, size: number): Tensor =>
  tf.where(tf.less(indices, tf.scalar(0, 'int32')), tf.add(indices, tf.scalar(size, 'int32')), indices)

/** Rows of indices of an ND gather or scatter, each counted from its end where it is negative. */
const rows = (c: Call): Tensor => {
  const { tf } = c
  const indices = c.x(1)
  const sizes = tf.tensor1d(c.from(0).slice(0, c.from(1).at(-1)), 'int32')
  return tf.where(tf.less(indices, tf.scalar(0, 'int32')), tf.add(indices, sizes), indices)
}

/** Which element an output of a padded axis repeats (ONNX, Pad: edge, reflect, wrap). */
function repeated(mode: string, size: number, before: number, after: number): number[] {
  const turn = 2 * Math.max(1, size - 1)
  return Array.from({ length: before + size + after }, (_, o) => {
    const at = o - before
    if (mode === 'edge') return Math.min(Math.max(at, 0), size - 1)
    if (mode === 'wrap') return ((at % size) + size) % size
    const folded = ((at % turn) + turn) % turn
    return folded < size ? folded : turn - folded
  })
}

function scattered(c: Call, indices: Tensor): Tensor {
  const reduction = textOf(c.node.attributes.reduction, 'none')
  if (reduction === 'add') return c.tf.add(c.x(0), c.tf.scatterND(indices, c.x(2), c.to()))
  // Not tensorScatterUpdate: the plain JavaScript backend writes into its input.
  const put = (updates: Tensor) => c.tf.scatterND(indices, updates, c.to())
  if (reduction === 'none') return c.tf.where(c.tf.greater(put(c.tf.onesLike(c.x(2))), 0), put(c.x(2)), c.x(0))
  throw new Error(`${c.node.op} ${c.node.name} with reduction ${reduction} is not run here`)
}

/** TensorFlow's topk knows the last axis only: the wanted one there and back. */
function alongLast(c: Call, axis: number, run: (x: Tensor) => readonly Tensor[]): Tensor[] {
  const last = c.from().length - 1
  if (axis === last) return [...run(c.x())]
  const swap = [...c.from().keys()].with(axis, last).with(last, axis)
  return run(c.tf.transpose(c.x(), swap)).map((each) => c.tf.transpose(each, swap))
}

export const movement = {
  Concat: (c) =>
    c.xs.length === 1 ? c.tf.clone(c.xs[0]!) : c.tf.concat(c.xs, normalAxis(intOf(c.node.attributes.axis, 0), c.to().length)),
  ConstantOfShape: (c) => {
    const { value } = c.node.attributes
    const given = typeof value === 'object' && 'tensor' in value ? Number(value.tensor.data[0]) : 0
    return c.tf.fill(c.to(), given, c.g.value(c.node.outputs[0]!).type === 'float32' ? 'float32' : 'int32')
  },
  CumSum: (c) => {
    const { exclusive, reverse } = c.node.attributes
    return c.tf.cumsum(c.x(), c.numbers(1)![0], intOf(exclusive, 0) === 1, intOf(reverse, 0) === 1)
  },
  DepthToSpace: (c) => {
    const [n, channels, height, width] = c.from() as [number, number, number, number]
    const block = intOf(c.node.attributes.blocksize, 1)
    const rest = channels / block ** 2
    const opened =
      textOf(c.node.attributes.mode, 'DCR') === 'DCR'
        ? c.tf.transpose(c.tf.reshape(c.x(), [n, block, block, rest, height, width]), [0, 3, 4, 1, 5, 2])
        : c.tf.transpose(c.tf.reshape(c.x(), [n, rest, block, block, height, width]), [0, 1, 4, 2, 5, 3])
    return c.tf.reshape(opened, c.to())
  },
  Expand: (c) => c.tf.broadcastTo(c.x(), c.to()),
  Flatten: reshape,
  Gather: (c) => {
    const axis = normalAxis(intOf(c.node.attributes.axis, 0), c.from().length)
    return c.tf.reshape(c.tf.gather(c.x(0), counting(c, c.x(1), c.from(0)[axis]!), axis), c.to())
  },
  GatherElements: (c) => c.tf.gatherND(c.x(0), coordinates(c)),
  GatherND: (c) => {
    if (intOf(c.node.attributes.batch_dims, 0)) throw new Error(`GatherND ${c.node.name} with batch_dims is not run here`)
    return c.tf.gatherND(c.x(0), rows(c))
  },
  Pad: (c) => {
    const mode = textOf(c.node.attributes.mode, 'constant')
    const pads = c.numbers(1, 'pads')!
    const axes = c.has(3) ? c.axes(3) : [...c.from().keys()]
    const amounts = (from: number) => c.from().map((_, axis) => pads[from + axes.indexOf(axis)] ?? 0)
    const placed = (from: number) => amounts(from).map((amount, axis) => (axes.includes(axis) ? amount : 0))
    if (mode !== 'constant') {
      const [before, after] = [placed(0), placed(axes.length)]
      return axes.reduce((x, axis) => {
        const from = repeated(mode, c.from()[axis]!, before[axis]!, after[axis]!)
        return c.tf.gather(x, c.tf.tensor1d(from, 'int32'), axis)
      }, c.x())
    }
    return padOrCrop(c.tf, c.x(), placed(0), placed(axes.length), c.numbers(2)?.[0] ?? 0)
  },
  Reshape: reshape,
  Resize: (c) => {
    const mixing = resizeMatrices({ g: c.g, node: c.node, inputs: c.inputs, outputs: [c.g.value(c.node.outputs[0]!)] })
    return mixing.reduce<Tensor>((x, matrix, axis) => {
      if (!matrix) throw new Error(`Resize ${c.node.name} with tf_crop_and_resize is not run here`)
      if (matrix.length === x.shape[axis]! && matrix.every((row, i) => row[i] === 1)) return x
      const hit = matrix.map((row) => row.indexOf(1))
      // Nearest picks whole rows; the other modes are a product with the weights of each axis.
      if (hit.every((at, o) => at >= 0 && matrix[o]!.every((weight, i) => weight === 0 || i === at)))
        return c.tf.gather(x, c.tf.tensor1d(hit, 'int32'), axis)
      const last = x.shape.length - 1
      const swap = [...x.shape.keys()].with(axis, last).with(last, axis)
      const weights = c.tf.tensor2d(matrix.map((row) => [...row]))
      const rows = c.tf.transpose(x, swap)
      const flat = c.tf.reshape(rows, [-1, x.shape[axis]!])
      const mixed = c.tf.matMul(flat, weights, false, true)
      return c.tf.transpose(c.tf.reshape(mixed, [...rows.shape.slice(0, -1), matrix.length]), swap)
    }, c.x())
  },
  ScatterElements: (c) => scattered(c, coordinates(c)),
  ScatterND: (c) => scattered(c, rows(c)),
  Slice: (c) => {
    const { tf } = c
    const shape = c.from()
    const [starts, ends] = [c.numbers(1, 'starts')!, c.numbers(2, 'ends')!]
    const axes = c.numbers(3, 'axes')?.map((axis) => normalAxis(axis, shape.length)) ?? starts.map((_, i) => i)
    const steps = c.numbers(4) ?? starts.map(() => 1)
    const begin = shape.map(() => 0)
    const end = [...shape]
    const stride = shape.map(() => 1)
    const turned: number[] = []
    for (const [i, axis] of axes.entries()) {
      const size = shape[axis]!
      const backwards = steps[i]! < 0
      const at = (value: number, low: number, high: number) => Math.min(Math.max(value < 0 ? value + size : value, low), high)
      const [from, to] = backwards
        ? [at(starts[i]!, 0, size - 1), at(ends[i]!, -1, size - 1)]
        : [at(starts[i]!, 0, size), at(ends[i]!, 0, size)]
      if (backwards) turned.push(axis)
      // Counted from the other end once the axis is turned round.
      begin[axis] = backwards ? size - 1 - from : from
      end[axis] = backwards ? size - 1 - to : to
      stride[axis] = Math.abs(steps[i]!)
    }
    const x = turned.length > 0 ? tf.reverse(c.x(), turned) : c.x()
    if (stride.every((step) => step === 1))
      return tf.slice(
        x,
        begin,
        end.map((at, axis) => Math.max(0, at - begin[axis]!)),
      )
    return tf.stridedSlice(x, begin, end, stride)
  },
  SpaceToDepth: (c) => {
    const [n, channels, height, width] = c.from() as [number, number, number, number]
    const block = intOf(c.node.attributes.blocksize, 1)
    const opened = c.tf.reshape(c.x(), [n, channels, height / block, block, width / block, block])
    return c.tf.reshape(c.tf.transpose(opened, [0, 3, 5, 1, 2, 4]), c.to())
  },
  Split: (c) => {
    const axis = normalAxis(intOf(c.node.attributes.axis, 0), c.from().length)
    return c.tf.split(
      c.x(),
      c.node.outputs.map((_, i) => c.to(i)[axis]!),
      axis,
    )
  },
  Squeeze: reshape,
  Tile: (c) =>
    c.tf.tile(
      c.x(),
      c.from().map((size, i) => c.to()[i]! / size),
    ),
  TopK: (c) => {
    const axis = normalAxis(intOf(c.node.attributes.axis, -1), c.from().length)
    if (!intOf(c.node.attributes.largest, 1)) throw new Error(`TopK ${c.node.name} of the smallest is not run here`)
    return alongLast(c, axis, (x) => {
      const { values, indices } = c.tf.topk(x, c.to()[axis]!)
      return [values, indices]
    })
  },
  Transpose: (c) => c.tf.transpose(c.x(), [...(intsOf(c.node.attributes.perm) ?? [...c.from().keys()].reverse())]),
  Unsqueeze: reshape,
} satisfies Record<string, Op>
