/** Gradient of Resize (operator specification, opset 10 to 19): every mode is a product with constant weights along each axis. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import { floatOf, intOf, intsOf, normalAxis, textOf } from '../onnx/shapes.ts'
import { type AxisMatrix, isIdentity, repeats, turnBack } from './axis-matrix.ts'
import { blocked, inLayoutOfFirst, isBlocked, nchwc, unblocked } from './blocked.ts'
import type { Rule, RuleInput } from './rule.ts'

interface Sampling {
  readonly inputs: number
  readonly outputs: number
  readonly scale: number
  readonly mode: string
  readonly coordinates: string
  readonly nearest: string
  readonly cubic: number
  readonly excludeOutside: boolean
}

/** Where output `o` looks in the input (coordinate_transformation_mode). */
function place({ inputs, outputs, scale, coordinates }: Sampling, o: number): number | undefined {
  switch (coordinates) {
    case 'half_pixel':
      return (o + 0.5) / scale - 0.5
    case 'half_pixel_symmetric':
      return (inputs / 2) * (1 - outputs / (inputs * scale)) + (o + 0.5) / scale - 0.5
    case 'pytorch_half_pixel':
      return outputs > 1 ? (o + 0.5) / scale - 0.5 : 0
    case 'align_corners':
      return outputs > 1 ? (o * (inputs - 1)) / (outputs - 1) : 0
    case 'asymmetric':
      return o / scale
    default:
      return undefined
  }
}

const rounded: Readonly<Record<string, (x: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
}

/** [input, weight] of one output that looks at x; inputs may lie outside. */
function taps({ mode, nearest, cubic: a }: Sampling, x: number): (readonly [number, number])[] {
  if (mode === 'nearest') return [[rounded[nearest]!(x), 1]]
  const base = Math.floor(x)
  const t = x - base
  if (mode === 'linear')
    return [
      [base, 1 - t],
      [base + 1, t],
    ]
  // Keys 1981: cubic convolution, a = -0.75 unless told.
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  return [
    [base - 1, far(1 + t)],
    [base, near(t)],
    [base + 1, near(1 - t)],
    [base + 2, far(2 - t)],
  ]
}

function weights(sampling: Sampling): AxisMatrix | undefined {
  const { inputs, outputs, mode, excludeOutside } = sampling
  const rows: Float32Array[] = []
  for (let o = 0; o < outputs; o++) {
    const x = place(sampling, o)
    if (x === undefined) return undefined
    // onnxruntime keeps linear samples inside the picture before it weighs them.
    const at = mode === 'linear' ? Math.min(Math.max(x, 0), inputs - 1) : x
    const row = new Float32Array(inputs)
    const seen = taps(sampling, at).filter(([i]) => !excludeOutside || (i >= 0 && i < inputs))
    const sum = excludeOutside ? seen.reduce((total, [, weight]) => total + weight, 0) : 1
    for (const [i, weight] of seen) row[Math.min(Math.max(i, 0), inputs - 1)]! += weight / sum
    rows.push(row)
  }
  return rows
}

/** One matrix per axis, undefined where it is in a form that has no rule. */
export function resizeMatrices({
  g,
  node,
  inputs,
  outputs,
}: Pick<RuleInput, 'g' | 'node' | 'inputs' | 'outputs'>): (AxisMatrix | undefined)[] {
  const { attributes } = node
  const [from, to] = [inputs[0]!.shape, outputs[0]!.shape]
  const factors = g.constantOf(node.inputs[node.inputs.length === 2 ? 1 : 2] ?? '')
  const axes = intsOf(attributes.axes)?.map((axis) => normalAxis(axis, from.length)) ?? [...from.keys()]
  const mode = textOf(attributes.mode, 'nearest')
  return from.map((size, axis) => {
    const index = axes.indexOf(axis)
    const given = factors && index >= 0 ? Number(factors.data[index] ?? 0) : 0
    return weights({
      inputs: size,
      outputs: to[axis]!,
      scale: given > 0 ? given : to[axis]! / size,
      mode,
      // An Upsample that was not lifted, and opset 10's Resize, have no such attribute and mean asymmetric and floor.
      coordinates: textOf(attributes.coordinate_transformation_mode, node.inputs.length === 2 ? 'asymmetric' : 'half_pixel'),
      nearest: textOf(attributes.nearest_mode, node.inputs.length === 2 ? 'floor' : 'round_prefer_floor'),
      cubic: floatOf(attributes.cubic_coeff_a, -0.75),
      excludeOutside: mode === 'cubic' && intOf(attributes.exclude_outside, 0) === 1,
    })
  })
}

/** How often each pixel comes, down and across, where that is all. */
function repetitions(input: Pick<RuleInput, 'g' | 'node' | 'inputs' | 'outputs'>): [number, number] | undefined {
  const [from, to] = [input.inputs[0]!.shape, input.outputs[0]!.shape]
  const factors = to.map((size, i) => size / from[i]!)
  const fits = resizeMatrices(input).every((matrix, i) => matrix && repeats(matrix, factors[i]!))
  return fits && from.length === 4 && factors[0] === 1 && factors[1] === 1 ? [factors[2]!, factors[3]!] : undefined
}

/** In blocks where its input lies in blocks and each pixel is repeated; else as it is. */
export function emitResize(input: Pick<RuleInput, 'g' | 'node' | 'inputs' | 'outputs'>): Value {
  const { g, inputs, outputs } = input
  const [x, y] = [inputs[0]!, outputs[0]!]
  const times = isBlocked(g, x) ? repetitions(input) : undefined
  if (!times) return y
  const attributes = { mode: 'nearest', scales: [1, 1, ...times] }
  return unblocked(g, g.opShaped('Upsample', [blocked(g, x)], y.shape, { domain: nchwc, attributes }))
}

/** Mean over each k x l pixels, in blocks where x lies in blocks. */
function blockMeans(g: GraphBuilder, x: Value, kernel: readonly [number, number]): Value {
  const attributes = { kernel_shape: [...kernel], strides: [...kernel] }
  if (!isBlocked(g, x)) return g.op('AveragePool', [x], { attributes })
  const [n, c, height, width] = x.shape as [number, number, number, number]
  const shape = [n, c, height / kernel[0], width / kernel[1]]
  const made = g.opShaped('AveragePool', [blocked(g, x)], shape, {
    domain: nchwc,
    attributes: { ...attributes, pads: [0, 0, 0, 0] },
  })
  return unblocked(g, made)
}

export const resize: Rule = (input) => {
  const { g, node, inputs, dy } = input
  const none = inputs.slice(1).map(() => null)
  const times = repetitions(input)
  if (times) {
    // Each source pixel gets the sum over its block.
    const sum = inLayoutOfFirst(g, [blockMeans(g, dy, times)], (means) => g.scale(means, times[0] * times[1]))
    return [sum, ...none]
  }
  const mixing = resizeMatrices(input)
  if (mixing.some((matrix) => !matrix) || intOf(node.attributes.antialias, 0))
    throw new Error(`Resize ${node.name} with antialias or tf_crop_and_resize has no gradient rule`)
  const back = mixing.reduce<Value>((sum, matrix, axis) => (isIdentity(matrix!) ? sum : turnBack(g, sum, axis, matrix!)), dy)
  return [back, ...none]
}
