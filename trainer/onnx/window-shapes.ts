/** Shapes of convolutions, pools and resizing: ops whose output is sized by a window or a factor. */
import type { Node } from './graph.ts'
import { first, intOf, intsOf, normalAxis, numbers, type ShapeRule, textOf } from './inference.ts'

type Attributes = Node['attributes']

const isSame = (auto: string) => auto === 'SAME_UPPER' || auto === 'SAME_LOWER'

/** `total` pads per axis as [begins..., ends...]; the odd one goes where auto_pad says. */
function halves(total: readonly number[], auto: string): number[] {
  const less = total.map((sum) => Math.floor(sum / 2))
  const more = total.map((sum, i) => sum - less[i]!)
  return auto === 'SAME_LOWER' ? [...more, ...less] : [...less, ...more]
}

/** Pads [top, left, ..., bottom, right, ...] of a convolution or pool, with auto_pad resolved (Conv, auto_pad). */
export function resolvePads(attributes: Attributes, input: readonly number[], kernel: readonly number[]): number[] {
  const strides = intsOf(attributes.strides) ?? kernel.map(() => 1)
  const dilations = intsOf(attributes.dilations) ?? kernel.map(() => 1)
  const auto = textOf(attributes.auto_pad, 'NOTSET')
  if (isSame(auto)) {
    const total = kernel.map((size, i) =>
      Math.max(0, (Math.ceil(input[i]! / strides[i]!) - 1) * strides[i]! + (size - 1) * dilations[i]! + 1 - input[i]!),
    )
    return halves(total, auto)
  }
  return intsOf(attributes.pads)?.slice() ?? kernel.flatMap(() => [0, 0])
}

/** Pads of a ConvTranspose with this output, with output_shape and auto_pad resolved (ConvTranspose, pads). */
export function transposedPads(
  attributes: Attributes,
  input: readonly number[],
  kernel: readonly number[],
  output: readonly number[],
): number[] {
  const auto = textOf(attributes.auto_pad, 'NOTSET')
  if (!attributes.output_shape && !isSame(auto)) return intsOf(attributes.pads)?.slice() ?? kernel.flatMap(() => [0, 0])
  const unpadded = transposedSizes({ ...attributes, pads: kernel.flatMap(() => [0, 0]) }, input, kernel)
  const total = unpadded.map((size, i) => Math.max(0, size - output[i]!))
  // NOTSET with output_shape puts the odd pad at the beginning, as SAME_LOWER does.
  return halves(total, auto === 'SAME_UPPER' ? auto : 'SAME_LOWER')
}

function transposedSizes(attributes: Attributes, input: readonly number[], kernel: readonly number[]): number[] {
  const one = kernel.map(() => 1)
  const [strides, dilations] = [intsOf(attributes.strides) ?? one, intsOf(attributes.dilations) ?? one]
  const pads = intsOf(attributes.pads) ?? kernel.flatMap(() => [0, 0])
  const extra = intsOf(attributes.output_padding) ?? kernel.map(() => 0)
  return kernel.map((k, i) =>
    input[i] === -1
      ? -1
      : strides[i]! * (input[i]! - 1) + extra[i]! + (k - 1) * dilations[i]! + 1 - pads[i]! - pads[i + kernel.length]!,
  )
}

function windowed(attributes: Attributes, input: readonly number[], kernel: readonly number[]): number[] {
  const strides = intsOf(attributes.strides) ?? kernel.map(() => 1)
  const dilations = intsOf(attributes.dilations) ?? kernel.map(() => 1)
  const pads = resolvePads(attributes, input, kernel)
  const ceil = intOf(attributes.ceil_mode, 0) === 1
  return kernel.map((size, i) => {
    if (input[i] === -1) return -1
    const room = (input[i]! + pads[i]! + pads[i + kernel.length]! - (size - 1) * dilations[i]! - 1) / strides[i]!
    const count = (ceil ? Math.ceil(room) : Math.floor(room)) + 1
    // A window that would start behind the picture and its first pad is left out (MaxPool, ceil_mode).
    return ceil && (count - 1) * strides[i]! >= input[i]! + pads[i]! ? count - 1 : count
  })
}

const convolution: ShapeRule = ({ node, inputs: [x, w] }) => {
  const kernel = w!.shape.slice(2)
  return [{ shape: [x!.shape[0]!, w!.shape[0]!, ...windowed(node.attributes, x!.shape.slice(2), kernel)], type: x!.type }]
}

/** QLinearConv has scale and zero point behind x and behind w. */
const quantizedConvolution: ShapeRule = (input) => {
  const [x, , , w, , , , zero] = input.inputs
  return [{ ...convolution({ ...input, inputs: [x!, w!] })[0]!, type: zero?.type ?? x!.type }]
}

const transposedConvolution: ShapeRule = ({ node: { attributes }, inputs: [x, w] }) => {
  const input = x!.shape.slice(2)
  const strides = intsOf(attributes.strides) ?? input.map(() => 1)
  const size = isSame(textOf(attributes.auto_pad, 'NOTSET'))
    ? input.map((each, i) => (each === -1 ? -1 : each * strides[i]!))
    : transposedSizes(attributes, input, w!.shape.slice(2))
  return [
    {
      shape: [x!.shape[0]!, w!.shape[1]! * intOf(attributes.group, 1), ...(intsOf(attributes.output_shape) ?? size)],
      type: x!.type,
    },
  ]
}

const pool: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const kernel = intsOf(input.node.attributes.kernel_shape)!
  const out = { shape: [...shape.slice(0, 2), ...windowed(input.node.attributes, shape.slice(2), kernel)], type }
  return input.node.outputs.length > 1 ? [out, { shape: out.shape, type: 'int64' }] : [out]
}

const globalPool: ShapeRule = (input) => {
  const { shape, type } = first(input)
  return [{ shape: shape.map((size, i) => (i < 2 ? size : 1)), type }]
}

const resize: ShapeRule = (input) => {
  const { shape, type } = first(input)
  const { attributes } = input.node
  const axes = intsOf(attributes.axes)?.map((axis) => normalAxis(axis, shape.length)) ?? [...shape.keys()]
  const sizes = numbers(input.constant(3))
  // Opset 10 has (x, scales); later ones (x, roi, scales, sizes).
  const scales = numbers(input.constant(input.inputs.length === 2 ? 1 : 2))
  if (sizes?.length) {
    const ratios = axes.map((axis, i) => sizes[i]! / shape[axis]!)
    const policy = textOf(attributes.keep_aspect_ratio_policy, 'stretch')
    const ratio = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios)
    const size = (axis: number, i: number) => (policy === 'stretch' ? sizes[i]! : Math.floor(ratio * shape[axis]! + 0.5))
    return [{ shape: shape.map((each, axis) => (axes.includes(axis) ? size(axis, axes.indexOf(axis)) : each)), type }]
  }
  if (!scales?.length) throw new Error(`Resize ${input.node.name} has a size that is known only in the run`)
  // As float32 has it, for that is what onnxruntime multiplies.
  const scaled = (size: number, axis: number) =>
    size === -1 || !axes.includes(axis) ? size : Math.floor(Math.fround(size * scales[axes.indexOf(axis)]!))
  return [{ shape: shape.map(scaled), type }]
}

const blocks =
  (change: (channels: number, side: number, block: number) => readonly [number, number]): ShapeRule =>
  (input) => {
    const { shape, type } = first(input)
    const block = intOf(input.node.attributes.blocksize, 1)
    const [n, channels, height, width] = shape as [number, number, number, number]
    const known = (size: number, value: number) => (size === -1 ? -1 : value)
    const [deep, high] = change(channels, height, block)
    const [, wide] = change(channels, width, block)
    return [{ shape: [n, known(channels, deep), known(height, high), known(width, wide)], type }]
  }

export const windowShapes: Readonly<Record<string, ShapeRule>> = {
  AveragePool: pool,
  Conv: convolution,
  ConvInteger: (input) => [{ ...convolution(input)[0]!, type: 'int32' }],
  ConvTranspose: transposedConvolution,
  DepthToSpace: blocks((channels, side, block) => [channels / block ** 2, side * block]),
  GlobalAveragePool: globalPool,
  GlobalLpPool: globalPool,
  GlobalMaxPool: globalPool,
  GridSample: ({ inputs: [x, grid] }) => [{ shape: [...x!.shape.slice(0, 2), ...grid!.shape.slice(1, -1)], type: x!.type }],
  LpPool: pool,
  MaxPool: pool,
  QLinearConv: quantizedConvolution,
  Resize: resize,
  RoiAlign: ({ node: { attributes }, inputs: [x, rois] }) => [
    {
      shape: [rois!.shape[0]!, x!.shape[1]!, intOf(attributes.output_height, 1), intOf(attributes.output_width, 1)],
      type: x!.type,
    },
  ],
  SpaceToDepth: blocks((channels, side, block) => [channels * block ** 2, side / block]),
  Upsample: (input) => {
    // Opset 7 and 8 gave the scales as an attribute.
    const { scales } = input.node.attributes
    if (typeof scales !== 'object' || !('floats' in scales)) return resize(input)
    const { shape, type } = first(input)
    return [{ shape: shape.map((size, i) => (size === -1 ? -1 : Math.floor(size * scales.floats[i]!))), type }]
  },
}
