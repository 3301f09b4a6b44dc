/**
 * Makes the outputs of cheap layers anew in the backward pass instead of keeping them from the forward pass (Chen et al. 2016, "Training
 * Deep Nets with Sublinear Memory Cost"): only what convolutions give is kept. The same ops on the same numbers, so the same gradient.
 */
import type { GraphBuilder, Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import type { Recorded } from './rule.ts'

const cheap = new Set([
  'Add',
  'BatchNormalization',
  'Concat',
  'HardSigmoid',
  'HardSwish',
  'LeakyRelu',
  'Mul',
  'QuickGelu',
  'Relu',
  'Sigmoid',
])

/**
 * @param replay adds a node of the forward graph once more, as the recorded one was added
 * @returns for a value of the forward pass the one to use in the backward pass, made at its first use there
 */
export function recomputing(
  g: GraphBuilder,
  tape: readonly Recorded[],
  replay: (node: Node, recorded: Recorded) => Recorded,
): (value: Value) => Value {
  const makers = new Map<string, Recorded>()
  for (const recorded of tape) {
    const [first, ...more] = recorded.outputs
    if (cheap.has(recorded.node.op) && first?.shape.length === 4 && more.length === 0) makers.set(first.name, recorded)
  }
  const again = (value: Value): Value => {
    const maker = makers.get(value.name)
    if (!maker) return value
    return g.once(`again ${value.name}`, () => {
      const { node, inputs } = maker
      const fresh = {
        ...node,
        name: `${node.name}/again`,
        inputs: inputs.map((each) => (each ? again(each).name : '')),
        outputs: node.outputs.map((name) => (name === '' ? '' : `${name}/again`)),
      }
      return replay(fresh, maker).outputs[0]!
    })
  }
  return again
}
