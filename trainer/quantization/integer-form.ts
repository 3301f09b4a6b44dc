/** Writes a folded graph in QDQ form: QuantizeLinear and DequantizeLinear around each unit, which onnxruntime turns into integer kernels. */
import { pruned } from '../engine/step-graph.ts'
import { floatTensor, type Graph, type Node, type TensorData } from '../onnx/graph.ts'
import type { Plan, Unit } from './plan.ts'
import type { ActivationScale } from './ranges.ts'
import { quantizeBiases, quantizeFilters } from './weights.ts'

/**
 * @param scales of the activations in `plan.rangeOf`, by the name whose range they share
 * @param limit greatest absolute value of an int8 weight
 */
export function integerForm(graph: Graph, plan: Plan, scales: ReadonlyMap<string, ActivationScale>, limit?: number): Graph {
  const initializers = new Map(graph.initializers)
  const nodes: Node[] = []
  const node = (op: string, name: string, inputs: readonly string[], attributes: Node['attributes'] = {}) => {
    nodes.push({ op, domain: '', name, inputs, outputs: [name], attributes })
    return name
  }
  const keep = (name: string, tensor: TensorData) => {
    initializers.set(name, tensor)
    return name
  }
  const scaleOf = (activation: string): ActivationScale => {
    const scale = scales.get(plan.rangeOf.get(activation) ?? activation) ?? storedScale(graph, activation)
    if (!scale) throw new Error(`the activation ${activation} has no range`)
    return scale
  }
  const byNode = new Map(
    plan.units.flatMap((unit) => [unit.node, unit.activation].flatMap((each) => (each ? [[each, unit] as const] : []))),
  )
  const made = new Set(plan.units.map(({ name }) => name))
  /** Activation to the value that stands for it after rounding. */
  const rounded = new Map<string, string>()
  const round = (activation: string) => {
    if (!plan.rangeOf.has(activation)) return
    const { scale, zeroPoint } = scaleOf(activation)
    const owner = plan.rangeOf.get(activation)!
    const parameters = [
      keep(`${owner}/scale`, floatTensor([], [scale])),
      keep(`${owner}/zero`, { type: 'uint8', shape: [], data: Uint8Array.of(zeroPoint) }),
    ]
    const stored = node('QuantizeLinear', `${activation}/stored`, [activation, ...parameters])
    rounded.set(activation, node('DequantizeLinear', `${activation}/rounded`, [stored, ...parameters]))
  }
  const filters = ({ node: { inputs } }: Unit): string[] => {
    const weight = graph.initializers.get(inputs[1]!)!
    const bias = inputs[2] ? (graph.initializers.get(inputs[2])!.data as Float32Array) : null
    const channels = weight.shape[0]!
    const { scale } = scaleOf(inputs[0]!)
    const { values, scales } = quantizeFilters(weight.data as Float32Array, channels, { biases: bias, inputScale: scale, limit })
    // By input and weight: two convolutions may share their filters, not their scales.
    const name = `${inputs[1]}/${inputs[0]}`
    const zeros = { type: 'int8', shape: [channels], data: new Int8Array(channels) } as const
    const weights = node(
      'DequantizeLinear',
      `${name}/rounded`,
      [
        keep(`${name}/stored`, { type: 'int8', shape: weight.shape, data: values }),
        keep(`${name}/scales`, floatTensor([channels], scales)),
        keep(`${name}/zeros`, zeros),
      ],
      { axis: 0 },
    )
    if (!bias) return [weights]
    const sums = quantizeBiases(bias, scales, scale)
    return [
      weights,
      node(
        'DequantizeLinear',
        `${name}/bias`,
        [
          keep(`${name}/bias_stored`, { type: 'int32', shape: [channels], data: sums.values }),
          keep(`${name}/bias_scales`, floatTensor([channels], sums.scales)),
        ],
        { axis: 0 },
      ),
    ]
  }
  for (const { name } of graph.inputs) if (!graph.initializers.has(name)) round(name)
  for (const each of graph.nodes) {
    const unit = byNode.get(each)
    const isStart = unit?.node === each
    // Floats behind a unit read what it stored, or it could not compute in integers; floats behind floats read those.
    const reads = (name: string) => (rounded.has(name) && (isStart || made.has(name)) ? rounded.get(name)! : name)
    if (isStart && each.op === 'Conv') nodes.push({ ...each, inputs: [reads(each.inputs[0]!), ...filters(unit)] })
    else nodes.push({ ...each, inputs: each.inputs.map(reads) })
    for (const name of each.outputs) round(name)
  }
  return pruned({ ...graph, nodes, initializers })
}

/** The scale of a value that is stored in integers in the file already: the image. */
function storedScale(graph: Graph, name: string): ActivationScale | null {
  const maker = graph.nodes.find(({ op, outputs }) => op === 'DequantizeLinear' && outputs[0] === name)
  if (!maker) return null
  const [scale, zero] = [graph.initializers.get(maker.inputs[1]!), graph.initializers.get(maker.inputs[2]!)]
  return scale ? { scale: Number(scale.data[0]), zeroPoint: Number(zero?.data[0] ?? 0) } : null
}
