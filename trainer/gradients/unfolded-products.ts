/** The gradient of a convolution's filter on devices. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { cropped, type Geometry } from './geometry.ts'

/** What every WebGPU device lets a shader see of one buffer: maxStorageBufferBindingSize's default (WebGPU, 3.6.2 Limits). */
const largestBuffer = 128 * 1024 * 1024
/** Products that one thread of a device adds up: fewer, and more of them side by side, make nothing quicker. */
const termsInTurn = 256

/**
 * All that each element of the filter meets, side by side (im2col): [n, ci, k * l, ho * wo]. By a convolution with unit filters, which is
 * one program for the device; a slice for each element would be k * l of them.
 */
function unfolded(g: GraphBuilder, x: Value, w: Value, geometry: Geometry): Value {
  const [n, ci] = x.shape as [number, number]
  const [k, l] = [w.shape[2]!, w.shape[3]!]
  const { x: input, pads } = cropped(g, x, geometry.pads)
  const { strides, dilations } = geometry
  if (k * l === 1 && strides.every((each) => each === 1) && pads.every((each) => each === 0))
    return g.reshape(input, [n, ci, 1, input.shape[2]! * input.shape[3]!])
  const units = g.once(`units ${ci} ${k} ${l}`, () => {
    const data = Float32Array.from({ length: ci * (k * l) ** 2 }, (_, at) =>
      Number(at % (k * l) === Math.floor(at / (k * l)) % (k * l)),
    )
    return g.constant(data, [ci * k * l, 1, k, l])
  })
  const views = g.op('Conv', [input, units], { attributes: { kernel_shape: [k, l], strides, dilations, pads, group: ci } })
  return g.reshape(views, [n, ci, k * l, views.shape[2]! * views.shape[3]!])
}

/**
 * For devices: a filter has few elements, each a sum over every site of every picture, which a convolution adds up one after the other
 * (onnxruntime's WebGPU provider on an H200: 16 ms for the first layer alone, 0.4 ms so). Here pictures, and strips of rows in them, are
 * multiplied side by side and summed afterwards.
 */
export function unfoldedProducts(g: GraphBuilder, x: Value, w: Value, dy: Value, geometry: Geometry): Value {
  const { group } = geometry
  const [n, ci] = x.shape as [number, number]
  const [co, , k, l] = w.shape as [number, number, number, number]
  const [ho, wo] = [dy.shape[2]!, dy.shape[3]!]
  const columns = ci * k * l
  const heights = Array.from({ length: ho }, (_, i) => i + 1)
  const height = heights.find((each) => ho % each === 0 && each * wo >= termsInTurn) ?? ho
  const [strips, terms] = [ho / height, height * wo]

  const product = (seen: Value, wanted: Value): Value => {
    const [count] = seen.shape as [number]
    const views = unfolded(g, seen, w, geometry)
    if (group > 1) return g.sum(g.sum(g.mul(views, g.reshape(wanted, [count, ci, 1, ho * wo])), [3]), [0])
    const rows = g.reshape(views, [count, columns, strips, terms])
    const left = g.reshape(strips === 1 ? rows : g.transpose(rows, [0, 2, 1, 3]), [count * strips, columns, terms])
    const right = g.reshape(g.transpose(g.reshape(wanted, [count, co, strips, terms]), [0, 2, 3, 1]), [count * strips, terms, co])
    return g.transpose(g.sum(g.matMul(left, right), [0]), [1, 0])
  }
  const atOnce = Math.max(1, Math.floor(largestBuffer / (4 * columns * ho * wo)))
  const sums = Array.from({ length: Math.ceil(n / atOnce) }, (_, i) => {
    const some = (value: Value) => (atOnce >= n ? value : g.slice(value, [i * atOnce], [Math.min(n, (i + 1) * atOnce)], [0]))
    return product(some(x), some(dy))
  })
  return g.reshape(
    sums.reduce((a, b) => g.add(a, b)),
    w.shape,
  )
}
