/**
 * Works out small values before the run: the integer arithmetic on shapes that exporters leave in a graph (Shape, Gather, Concat, ...)
 * and the constants it starts from. Big tensors and ops of real computation are left to onnxruntime.
 */
import { allocate } from './data-types.ts'
import { type DataType, elementCount, type Node, type TensorData } from './graph.ts'
import { countOf, intOf, intsOf, normalAxis, numbers, type Shaped, shapeSlice } from './inference.ts'

/** Larger tensors are not worked out: shape arithmetic is a few numbers, anchor grids a few thousand. */
const mostElements = 65_536

const supported: readonly DataType[] = ['float32', 'float64', 'int64', 'int32', 'bool']

interface Small {
  readonly type: DataType
  readonly shape: readonly number[]
  readonly data: readonly number[]
}

interface Known {
  readonly node: Pick<Node, 'op' | 'inputs' | 'attributes'>
  readonly inputs: readonly (Small | null)[]
  /** Shape and type of the first output, from inference. */
  readonly out: Shaped
}

type Evaluation = (known: Known) => readonly number[]

const strides = (shape: readonly number[]): number[] => shape.map((_, i) => elementCount(shape.slice(i + 1)))

/** Every place of `shape`, in order. */
function places(shape: readonly number[]): number[][] {
  const steps = strides(shape)
  return Array.from({ length: elementCount(shape) }, (_, flat) => shape.map((size, i) => Math.floor(flat / steps[i]!) % size))
}

/** Reads `x` at a place of the output that it is broadcast to. */
function reader({ shape, data }: Small): (place: readonly number[]) => number {
  const steps = strides(shape)
  return (place) => {
    const lead = place.length - shape.length
    return data[shape.reduce((sum, size, i) => sum + (size === 1 ? 0 : place[i + lead]!) * steps[i]!, 0)]!
  }
}

const isInteger = (type: DataType) => type === 'int64' || type === 'int32'

const elementwise =
  (of: (values: readonly number[], whole: boolean) => number): Evaluation =>
  ({ inputs, out }) => {
    const readers = inputs.map((each) => reader(each!))
    const whole = isInteger(inputs.at(-1)!.type)
    return places(out.shape).map((place) =>
      of(
        readers.map((read) => read(place)),
        whole,
      ),
    )
  }

const pair = (of: (a: number, b: number, whole: boolean) => number) => elementwise(([a, b], whole) => of(a!, b!, whole))
const single = (of: (a: number) => number) => elementwise(([a]) => of(a!))

/** The same numbers in another shape. */
const same: Evaluation = ({ inputs }) => inputs[0]!.data

/** Integers given as an input or, before opset 13, as an attribute. */
const listed = ({ node, inputs }: Known, name: string, index: number): readonly number[] | undefined =>
  inputs[index]?.data ?? intsOf(node.attributes[name])

const reduce =
  (of: (values: readonly number[]) => number): Evaluation =>
  (known) => {
    const { shape, data } = known.inputs[0]!
    const given = listed(known, 'axes', 1)
    if (!given?.length && intOf(known.node.attributes.noop_with_empty_axes, 0)) return data
    const axes = (given?.length ? given : [...shape.keys()]).map((axis) => normalAxis(axis, shape.length))
    const groups = Array.from({ length: elementCount(known.out.shape) }, (): number[] => [])
    const steps = strides(shape.filter((_, i) => !axes.includes(i)))
    for (const [flat, place] of places(shape).entries()) {
      const kept = place.filter((_, i) => !axes.includes(i))
      groups[kept.reduce((sum, at, i) => sum + at * steps[i]!, 0)]!.push(data[flat]!)
    }
    return groups.map(of)
  }

const truncated = (a: number, b: number, whole: boolean) => (whole ? Math.trunc(a / b) : a / b)

const evaluations: Readonly<Record<string, Evaluation>> = {
  Abs: single(Math.abs),
  Add: pair((a, b) => a + b),
  And: pair((a, b) => Number(a !== 0 && b !== 0)),
  Cast: ({ inputs, out }) =>
    inputs[0]!.data.map((each) => (out.type === 'bool' ? Number(each !== 0) : isInteger(out.type) ? Math.trunc(each) : each)),
  Ceil: single(Math.ceil),
  // Either bound may be left out.
  Clip: ({ inputs: [x, low, high] }) =>
    x!.data.map((each) => Math.min(Math.max(each, low?.data[0] ?? each), high?.data[0] ?? Number.POSITIVE_INFINITY)),
  Concat: ({ node, inputs, out }) => {
    const axis = normalAxis(intOf(node.attributes.axis, 0), out.shape.length)
    const rows = elementCount(out.shape.slice(0, axis))
    return Array.from({ length: rows }, (_, row) =>
      inputs.flatMap((each) => {
        const size = each!.data.length / rows
        return each!.data.slice(row * size, (row + 1) * size)
      }),
    ).flat()
  },
  Div: pair(truncated),
  Equal: pair((a, b) => Number(a === b)),
  Exp: single(Math.exp),
  Expand: ({ inputs, out }) => places(out.shape).map(reader(inputs[0]!)),
  Flatten: same,
  Floor: single(Math.floor),
  Gather: ({ node, inputs: [x, indices], out }) => {
    const axis = normalAxis(intOf(node.attributes.axis, 0), x!.shape.length)
    const steps = strides(x!.shape)
    const rank = indices!.shape.length
    const pick = reader(indices!)
    return places(out.shape).map((place) => {
      const index = pick(place.slice(axis, axis + rank))
      const from = [...place.slice(0, axis), normalAxis(index, x!.shape[axis]!), ...place.slice(axis + rank)]
      return x!.data[from.reduce((sum, at, i) => sum + at * steps[i]!, 0)]!
    })
  },
  Greater: pair((a, b) => Number(a > b)),
  GreaterOrEqual: pair((a, b) => Number(a >= b)),
  Identity: same,
  Less: pair((a, b) => Number(a < b)),
  LessOrEqual: pair((a, b) => Number(a <= b)),
  Log: single(Math.log),
  Max: elementwise((values) => Math.max(...values)),
  Min: elementwise((values) => Math.min(...values)),
  /** The sign of the divisor, or with fmod (and for fractions) that of the dividend. */
  Mod: ({ node, ...known }) => pair((a, b) => (intOf(node.attributes.fmod, 0) ? a % b : ((a % b) + b) % b))({ node, ...known }),
  Mul: pair((a, b) => a * b),
  Neg: single((a) => -a),
  Not: single((a) => Number(a === 0)),
  Or: pair((a, b) => Number(a !== 0 || b !== 0)),
  Pow: pair((a, b) => a ** b),
  Range: ({ inputs, out }) => Array.from({ length: out.shape[0]! }, (_, i) => inputs[0]!.data[0]! + i * inputs[2]!.data[0]!),
  Reciprocal: single((a) => 1 / a),
  ReduceMax: reduce((values) => Math.max(...values)),
  ReduceMin: reduce((values) => Math.min(...values)),
  ReduceProd: reduce((values) => values.reduce((product, each) => product * each, 1)),
  ReduceSum: reduce((values) => values.reduce((sum, each) => sum + each, 0)),
  Reshape: same,
  Slice: (known) => {
    const x = known.inputs[0]!
    const starts = listed(known, 'starts', 1)!
    const axes = (listed(known, 'axes', 3) ?? starts.map((_, i) => i)).map((axis) => normalAxis(axis, x.shape.length))
    const steps = listed(known, 'steps', 4) ?? starts.map(() => 1)
    const from = x.shape.map((size, axis) => {
      const at = axes.indexOf(axis)
      if (at < 0) return { first: 0, step: 1 }
      const start = starts[at]! < 0 ? starts[at]! + size : starts[at]!
      return { first: Math.min(Math.max(start, 0), steps[at]! < 0 ? size - 1 : size), step: steps[at]! }
    })
    const stride = strides(x.shape)
    return places(known.out.shape).map(
      (place) => x.data[place.reduce((sum, at, i) => sum + (from[i]!.first + at * from[i]!.step) * stride[i]!, 0)]!,
    )
  },
  Sqrt: single(Math.sqrt),
  Squeeze: same,
  Sub: pair((a, b) => a - b),
  Tile: ({ inputs: [x], out }) => {
    const stride = strides(x!.shape)
    return places(out.shape).map((place) => x!.data[place.reduce((sum, at, i) => sum + (at % x!.shape[i]!) * stride[i]!, 0)]!)
  },
  Transpose: ({ node, inputs: [x], out }) => {
    const perm = intsOf(node.attributes.perm) ?? [...x!.shape.keys()].reverse()
    const stride = strides(x!.shape)
    return places(out.shape).map((place) => x!.data[place.reduce((sum, at, i) => sum + at * stride[perm[i]!]!, 0)]!)
  },
  Unsqueeze: same,
  Where: elementwise(([condition, a, b]) => (condition ? a! : b!)),
}

/** Ops that are worked out before the run where their inputs are known and small, sorted. */
export const foldable: readonly string[] = [...Object.keys(evaluations), 'ConstantOfShape', 'NonZero', 'Shape', 'Size'].sort()

const limit = 2n ** 63n

/** int64 saturates: a double cannot tell the largest one from the first that is too large. */
function clamped(value: number): bigint {
  const whole = BigInt(Math.trunc(value))
  return whole >= limit ? limit - 1n : whole < -limit ? -limit : whole
}

function tensor(type: DataType, shape: readonly number[], values: readonly number[]): TensorData {
  const data = allocate(type, values.length)
  if (data instanceof BigInt64Array) for (const [i, value] of values.entries()) data[i] = clamped(value)
  else for (const [i, value] of values.entries()) data[i] = value
  return { type, shape, data }
}

/** The indices of what is not 0, one column each; its shape is known only with its value. */
function nonZero({ shape, data }: Small): TensorData {
  const found = places(shape).filter((_, flat) => data[flat] !== 0)
  return tensor(
    'int64',
    [shape.length, found.length],
    shape.flatMap((_, axis) => found.map((place) => place[axis]!)),
  )
}

/**
 * The value of a node's first output when it follows from what is known before the run.
 * @param shapes of the inputs; Shape and Size need no more
 */
export function evaluate({
  node,
  shapes,
  constant,
  out,
}: {
  node: Node
  shapes: readonly (Shaped | null)[]
  constant: (index: number) => TensorData | undefined
  out: Shaped
}): TensorData | undefined {
  if (node.domain !== '') return undefined
  const [first] = shapes
  if (node.op === 'Shape' && first) {
    const sizes = shapeSlice(node.attributes, first.shape)
    return sizes.includes(-1) ? undefined : tensor('int64', [sizes.length], sizes)
  }
  if (node.op === 'Size' && first) return countOf(first.shape) < 0 ? undefined : tensor('int64', [], [countOf(first.shape)])
  const of = Object.hasOwn(evaluations, node.op) ? evaluations[node.op] : undefined
  const handled = of ?? (node.op === 'NonZero' || node.op === 'ConstantOfShape')
  if (!handled || !supported.includes(out.type)) return undefined
  const small = (index: number): Small | null | undefined => {
    if (!shapes[index]) return null
    const known = constant(index)
    if (!known || known.data.length > mostElements || !supported.includes(known.type)) return undefined
    return { type: known.type, shape: known.shape, data: numbers(known)! }
  }
  const inputs: (Small | null)[] = []
  for (const index of node.inputs.keys()) {
    const each = small(index)
    if (each === undefined) return undefined
    inputs.push(each)
  }
  if (node.op === 'NonZero' && inputs[0]) return nonZero(inputs[0])
  if (out.shape.includes(-1) || elementCount(out.shape) > mostElements) return undefined
  if (node.op === 'ConstantOfShape') {
    const { value } = node.attributes
    const fill = typeof value === 'object' && 'tensor' in value ? Number(value.tensor.data[0]) : 0
    return tensor(out.type, out.shape, Array<number>(elementCount(out.shape)).fill(fill))
  }
  return of && tensor(out.type, out.shape, of({ node, inputs, out }))
}
