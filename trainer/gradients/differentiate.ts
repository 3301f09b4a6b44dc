/** Reverse-mode differentiation, graph in, graph out: replays a forward graph into a builder and appends its gradient. */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { inLayoutOfFirst, lieAlike } from './blocked.ts'
import { emitConvolution } from './convolution.ts'
import { sumInBlocks } from './filter-blocks.ts'
import { emitBatchNormalization } from './normalization.ts'
import { emitResize } from './resize.ts'
import type { Dialect, Recorded } from './rule.ts'
import { ruleOf } from './rules.ts'

/** Nothing flows back through an Identity whose name begins so: its value counts as given. */
export const stopGradient = 'stopGradient'

/** Ops that go on in the blocked layout of what they read. */
const elementWise = new Set(['Add', 'HardSigmoid', 'HardSwish', 'LeakyRelu', 'Mul', 'Relu', 'Sigmoid', 'Sub', 'Tanh'])

/** Replays one forward node in a dialect. Its outputs keep their names in `values`. */
export function replay(
  g: GraphBuilder,
  node: Node,
  values: Map<string, Value>,
  dialect: Dialect,
  isTrained: (name: string) => boolean,
): Recorded {
  const inputs = node.inputs.map((name) => (name === '' ? null : (values.get(name) ?? g.value(name))))
  let saved: Value[] = []
  let outputs: Value[]
  if (node.op === 'Conv' && node.domain === '') outputs = [emitConvolution(g, node, inputs, dialect)]
  else if (node.op === 'BatchNormalization' && isTrained(node.inputs[1]!)) {
    const { y, saved: statistics } = emitBatchNormalization(g, node, inputs, dialect)
    outputs = [y]
    saved = statistics
  } else if (node.op === 'QuickGelu' || (elementWise.has(node.op) && lieAlike(g, inputs))) {
    const { op, domain, attributes } = node
    outputs = [
      inLayoutOfFirst(g, inputs as Value[], (...values) => g.opShaped(op, values, values[0]!.shape, { domain, attributes })),
    ]
  } else {
    outputs = g.appendFolded({ ...node, inputs: inputs.map((each) => each?.name ?? '') })
    if (node.op === 'Resize') outputs = [emitResize({ g, node, inputs, outputs })]
  }
  for (const [i, name] of node.outputs.entries()) values.set(name, outputs[i]!)
  return { node, inputs, outputs, saved }
}

/** Gradients of `loss` (a scalar) with respect to every value named in `wanted`. @throws Error naming an op without a rule */
export function differentiate(
  g: GraphBuilder,
  {
    tape,
    loss,
    wanted,
    dialect,
    again = (value) => value,
  }: {
    tape: readonly Recorded[]
    loss: Value
    wanted: Iterable<string>
    dialect: Dialect
    /** The value to read in the backward pass for one of the forward pass. */
    again?: (value: Value) => Value
  },
): Map<string, Value> {
  const reached = new Set(wanted)
  for (const { node, inputs, outputs } of tape) {
    if (node.name.startsWith(stopGradient)) continue
    if (inputs.some((each) => each && reached.has(each.name)))
      for (const each of outputs) if (each.type === 'float32') reached.add(each.name)
  }
  const gradients = new Map<string, Value>([[loss.name, g.reshape(g.constant(1), loss.shape)]])
  for (const recorded of tape.toReversed()) {
    const dys = recorded.outputs.map((each) => gradients.get(each.name) ?? null)
    const dy = dys.find((each) => each !== null)
    const flags = recorded.inputs.map((each) => each !== null && reached.has(each.name))
    if (!dy || !flags.includes(true) || recorded.node.name.startsWith(stopGradient)) continue
    const inputs = recorded.inputs.map((each) => each && again(each))
    const outputs = recorded.outputs.map(again)
    const made = ruleOf(
      recorded.node.op,
      recorded.node.name,
    )({
      ...recorded,
      inputs,
      outputs,
      g,
      dialect,
      dy,
      dys,
      wanted: flags,
    })
    for (const [i, gradient] of made.entries()) {
      if (!gradient || !flags[i]) continue
      const name = recorded.inputs[i]!.name
      const before = gradients.get(name)
      gradients.set(name, before ? (sumInBlocks(g, before, gradient) ?? inLayoutOfFirst(g, [before, gradient], g.add)) : gradient)
    }
  }
  return gradients
}
