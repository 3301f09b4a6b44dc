/**
 * A file of half-precision or 8-bit numbers as the float32 network that it was made from, for training needs one: each quantised value stands
 * for the real value scale (q - zero point) (ONNX QuantizeLinear, ConvInteger, QLinearConv; onnxruntime's quantised ops of com.microsoft).
 * Weights keep what rounding left of them; activations are not rounded any more.
 */
import { unquantized } from './as-float-layers.ts'
import type { Attribute, DataType, Graph, TensorData } from './graph.ts'

export interface AsFloat {
  readonly graph: Graph
  /** What was done, or could not be, for people; undefined where the file was of float32 already. */
  readonly note?: string
}

/** A graph with quantised ops that are not known here keeps them. */
export function asFloat(graph: Graph): AsFloat {
  const single = widened(graph)
  const found = unquantized(single ?? graph)
  const float = typeof found === 'object' ? found : undefined
  const notes = [
    ...(single ? ['its half-precision numbers are float32 now'] : []),
    ...(float ? [`its ${float.layers} layers of 8-bit numbers are float32 again`] : []),
    ...(typeof found === 'string' ? [`its 8-bit numbers cannot be made float32: ${found}`] : []),
  ]
  return { graph: float?.graph ?? single ?? graph, ...(notes.length > 0 && { note: notes.join(', ') }) }
}

/** IEEE 754 binary16. */
function fromHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}

const floatCode = 1
const halfCode = 10

/** Every half-precision number as float32; undefined where there is none. */
function widened(graph: Graph): Graph | undefined {
  let found = false
  let singles: Float32Array | undefined
  const single = (halves: Uint16Array): Float32Array => {
    singles ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => fromHalf(bits))
    const data = new Float32Array(halves.length)
    for (let i = 0; i < data.length; i++) data[i] = singles[halves[i]!]!
    return data
  }
  const type = (of: DataType): DataType => {
    found ||= of === 'float16'
    return of === 'float16' ? 'float32' : of
  }
  const tensor = (of: TensorData): TensorData =>
    of.type === 'float16' ? { ...of, type: type(of.type), data: single(of.data as Uint16Array) } : of
  const attribute = (of: Attribute): Attribute => (typeof of === 'object' && 'tensor' in of ? { tensor: tensor(of.tensor) } : of)
  const nodes = graph.nodes.map((node) => {
    const attributes = Object.entries(node.attributes).map(([name, value]) => {
      const half = node.op === 'Cast' && name === 'to' && value === halfCode
      found ||= half
      return [name, half ? floatCode : attribute(value)] as const
    })
    return { ...node, attributes: Object.fromEntries(attributes) }
  })
  const whole = {
    ...graph,
    nodes,
    inputs: graph.inputs.map((each) => ({ ...each, type: type(each.type) })),
    outputs: graph.outputs.map((each) => ({ ...each, type: type(each.type) })),
    initializers: new Map([...graph.initializers].map(([name, each]) => [name, tensor(each)])),
  }
  return found ? whole : undefined
}
