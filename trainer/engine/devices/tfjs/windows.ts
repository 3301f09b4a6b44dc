/** Convolutions and pools over two spatial dimensions. TensorFlow's own padding modes are not ONNX's: the input is padded or cropped so that "valid" gives exactly the output. */
import type * as tfjs from '@tensorflow/tfjs-core'
import { intOf, intsOf, resolvePads, transposedPads } from '../../../onnx/shapes.ts'
import type { Call, Op, Tensor } from './call.ts'
import { padOrCrop } from './movement.ts'

type Pair = [number, number]

interface Window {
  readonly kernel: Pair
  readonly strides: Pair
  readonly dilations: Pair
  /** top, left */
  readonly before: Pair
  /** bottom, right: what makes a "valid" window come out at the output's size */
  readonly after: Pair
}

function windowOf(c: Call, kernelShape: readonly number[]): Window {
  const { attributes, name, op } = c.node
  const [size, out] = [c.from().slice(2), c.to().slice(2)]
  if (size.length !== 2) throw new Error(`${op} ${name} has ${size.length} spatial dimensions; two are run here`)
  const pair = (key: string) => [...(intsOf(attributes[key]) ?? [1, 1])] as Pair
  const [strides, dilations, kernel] = [pair('strides'), pair('dilations'), [...kernelShape] as Pair]
  const pads = resolvePads(attributes, size, kernel)
  const after = size.map((each, i) => (out[i]! - 1) * strides[i]! + (kernel[i]! - 1) * dilations[i]! + 1 - each - pads[i]!)
  return { kernel, strides, dilations, before: [pads[0]!, pads[1]!], after: after as Pair }
}

/** x [N, C, H, W] padded for the window, channels last. */
const padded = (c: Call, x: Tensor, { before, after }: Window, value = 0): tfjs.Tensor4D =>
  c.channelsLast(padOrCrop(c.tf, x, [0, 0, ...before], [0, 0, ...after], value))

/** Filters [O, I, h, w] as [h, w, I, O]. */
const filters = (c: Call, w: Tensor) => c.tf.transpose(w, [2, 3, 1, 0]) as tfjs.Tensor4D

/** A filter with zeros between its taps: TensorFlow's transposed convolution takes no dilations, nor other convolutions one beside a stride. */
function spread(c: Call, w: Tensor, dilations: Pair): Tensor {
  return dilations.reduce<Tensor>((x, dilation, i) => {
    if (dilation === 1) return x
    const axis = i + 2
    const open = c.tf.expandDims(x, axis + 1)
    const zeros = c.tf.pad(
      open,
      [...open.shape.keys()].map((each): Pair => [0, each === axis + 1 ? dilation - 1 : 0]),
    )
    const wide = c.tf.reshape(zeros, x.shape.with(axis, x.shape[axis]! * dilation))
    return c.tf.slice(
      wide,
      wide.shape.map(() => 0),
      wide.shape.with(axis, wide.shape[axis]! - dilation + 1),
    )
  }, w)
}

function convolution(c: Call): Tensor {
  const { tf } = c
  const window = windowOf(c, c.from(1).slice(2))
  const group = intOf(c.node.attributes.group, 1)
  const [channels, outputs] = [c.from()[1]!, c.to()[1]!]
  const both = window.strides.some((step) => step > 1) && window.dilations.some((each) => each > 1)
  const w = both ? spread(c, c.x(1), window.dilations) : c.x(1)
  const dilations: Pair = both ? [1, 1] : window.dilations
  const x = padded(c, c.x(), window)
  const dense = (input: tfjs.Tensor4D, filter: Tensor) =>
    tf.conv2d(input, filters(c, filter), window.strides, 'valid', 'NHWC', dilations)
  if (group === 1) return dense(x, w)
  if (group === channels && window.strides[0] === window.strides[1]) {
    // One group a channel: [h, w, C, multiplier].
    const filter = tf.transpose(tf.reshape(w, [channels, outputs / channels, ...w.shape.slice(2)]), [2, 3, 0, 1])
    return tf.depthwiseConv2d(x, filter as tfjs.Tensor4D, window.strides, 'valid', 'NHWC', dilations)
  }
  const [inputs, weights] = [tf.split<tfjs.Tensor4D>(x, group, 3), tf.split(w, group, 0)]
  return tf.concat(
    inputs.map((each, i) => dense(each, weights[i]!)),
    3,
  )
}

function transposedConvolution(c: Call): Tensor {
  const { tf, node } = c
  const group = intOf(node.attributes.group, 1)
  const kernel = c.from(1).slice(2)
  const [strides, dilations] = ['strides', 'dilations'].map((key) => [...(intsOf(node.attributes[key]) ?? [1, 1])] as Pair) as [
    Pair,
    Pair,
  ]
  const pads = transposedPads(node.attributes, c.from().slice(2), kernel, c.to().slice(2))
  const w = spread(c, c.x(1), dilations)
  const full = ([0, 1] as const).map((i) => strides[i] * (c.from()[i + 2]! - 1) + w.shape[i + 2]!)
  const [n, channels] = c.from() as [number, number]
  const outputs = c.to()[1]!
  const x = c.channelsLast(c.x())
  let y: Tensor
  if (group > 1 && group === channels && group === outputs && strides[0] === strides[1]) {
    // As the gradient of a depthwise convolution: one kernel for all groups.
    y = tf
      .engine()
      .runKernel(
        'DepthwiseConv2dNativeBackpropInput',
        { dy: x, filter: tf.transpose(w, [2, 3, 0, 1]) },
        { strides, pad: 'valid', dilations: [1, 1], inputShape: [n, full[0]!, full[1]!, channels] },
      ) as Tensor
  } else {
    const [inputs, weights] = [tf.split<tfjs.Tensor4D>(x, group, 3), tf.split(w, group, 0)]
    y = tf.concat(
      inputs.map((each, i) => {
        // [I, O, h, w] as [h, w, O, I]
        const filter = tf.transpose(weights[i]!, [2, 3, 1, 0]) as tfjs.Tensor4D
        return tf.conv2dTranspose(each, filter, [n, full[0]!, full[1]!, outputs / group], strides, 'valid')
      }),
      3,
    )
  }
  const after = ([0, 1] as const).map((i) => c.to()[i + 2]! - full[i]! + pads[i]!)
  return padOrCrop(tf, c.channelsFirst(y), [0, 0, -pads[0]!, -pads[1]!], [0, 0, ...after])
}

const biased = (c: Call, y: Tensor): Tensor => (c.has(2) ? c.tf.add(y, c.perChannel(c.x(2), 4)) : y)

function poolOf(c: Call): Window {
  const window = windowOf(c, intsOf(c.node.attributes.kernel_shape)!)
  if (window.dilations.some((each) => each > 1)) throw new Error(`${c.node.op} ${c.node.name} with dilations is not run here`)
  return window
}

export const windows = {
  AveragePool: (c) => {
    const { tf, node } = c
    const window = poolOf(c)
    const pool = (x: tfjs.Tensor4D) => tf.avgPool(x, window.kernel, window.strides, 'valid')
    const mean = pool(padded(c, c.x(), window))
    if ([...window.before, ...window.after].every((each) => each <= 0)) return c.channelsFirst(mean)
    // Divided by what a window really saw: padding counts where the node says so, what lies beyond the padding never does.
    const counted = intOf(node.attributes.count_include_pad, 0)
    const pads = resolvePads(node.attributes, c.from().slice(2), window.kernel)
    const ones = tf.ones([1, 1, ...c.from().slice(2)])
    const seen = counted ? padOrCrop(tf, ones, [0, 0, pads[0]!, pads[1]!], [0, 0, pads[2]!, pads[3]!], 1) : ones
    const left = counted ? ([0, 0] as Pair) : window.before
    const right = counted ? (window.after.map((each, i) => each - pads[i + 2]!) as Pair) : window.after
    return c.channelsFirst(tf.div(mean, pool(padded(c, seen, { ...window, before: left, after: right }))))
  },
  Conv: (c) => biased(c, c.channelsFirst(convolution(c))),
  ConvTranspose: (c) => biased(c, transposedConvolution(c)),
  GlobalAveragePool: (c) => c.tf.mean(c.x(), [2, 3], true),
  GlobalMaxPool: (c) => c.tf.max(c.x(), [2, 3], true),
  MaxPool: (c) => {
    const { node } = c
    if (node.outputs.length > 1) throw new Error(`MaxPool ${node.name} with indices is not run here`)
    const window = poolOf(c)
    return c.channelsFirst(c.tf.maxPool(padded(c, c.x(), window, -3e38), window.kernel, window.strides, 'valid'))
  },
} satisfies Record<string, Op>
