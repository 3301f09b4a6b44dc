/** The trainable core of a deployed file, image to raw rows, in any batch size, picture size and with any classes. */

import { pruned } from '../engine/step-graph.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { elementCount, floatTensor, type Graph, intTensor } from '../onnx/graph.ts'
import { headOf, rowWidth } from './heads/table.ts'
import { Random } from './random.ts'
import type { Specification } from './specification.ts'

/** Only the nodes that rows and feature need. */
export function coreOf(graph: Graph, { rows, scores, feature }: Specification): Graph {
  const outputs = [rows, scores, feature]
    .filter((name) => name !== undefined)
    .map((name) => ({ name, type: 'float32' as const, shape: [] }))
  return { ...pruned({ ...graph, outputs }), outputs: [] }
}

/** The core for another batch or picture size. Reshapes to rows name the batch first and the cells as -1, so only the first changes. */
export function withInput(core: Graph, { batch, width, height }: { batch: number; width: number; height: number }): Graph {
  const initializers = new Map(core.initializers)
  for (const { op, inputs } of core.nodes) {
    if (op !== 'Reshape' || core.inputs[0]!.shape[0] === batch) continue
    const shape = core.initializers.get(inputs[1]!)
    if (!shape) continue
    const sizes = Array.from(shape.data as BigInt64Array, Number)
    initializers.set(inputs[1]!, intTensor([sizes.length], sizes.with(0, batch)))
  }
  const inputs = core.inputs.map((each) => ({ ...each, shape: [batch, height, width, 3] }))
  return { ...core, inputs, initializers }
}

/**
 * The core with other classes: filters of classes that stay are kept (found by name), new ones start near zero with the bias that
 * gives the prior probability, those that are gone go.
 */
export function withClasses(
  core: Graph,
  specification: Specification,
  classes: readonly string[],
  seed = 1,
): { core: Graph; specification: Specification } {
  const same = classes.length === specification.classes.length && classes.every((name, i) => name === specification.classes[i])
  if (same) return { core, specification }
  const random = new Random(seed)
  const initializers = new Map(core.initializers)
  for (const { weight, bias } of specification.classifiers) {
    const [w, b] = [initializers.get(weight)!, initializers.get(bias)!]
    const size = elementCount(w.shape.slice(1))
    const filters = new Float32Array(classes.length * size)
    const biases = new Float32Array(classes.length)
    for (const [i, name] of classes.entries()) {
      const from = specification.classes.indexOf(name)
      if (from >= 0) {
        filters.set((w.data as Float32Array).subarray(from * size, (from + 1) * size), i * size)
        biases[i] = Number(b.data[from])
      } else {
        for (let j = 0; j < size; j++) filters[i * size + j] = random.normal() * 0.01
        biases[i] = headOf(specification).newClassBias
      }
    }
    initializers.set(weight, floatTensor([classes.length, ...w.shape.slice(1)], filters))
    initializers.set(bias, floatTensor([classes.length], biases))
  }
  const before = rowWidth(specification)
  const changed = { ...specification, classes: [...classes] }
  for (const { op, inputs } of core.nodes) {
    const shape = op === 'Reshape' ? initializers.get(inputs[1]!) : undefined
    if (!shape) continue
    const sizes = Array.from(shape.data as BigInt64Array, Number)
    if (sizes[1] === before) initializers.set(inputs[1]!, intTensor([sizes.length], sizes.with(1, rowWidth(changed))))
  }
  return { core: { ...core, initializers }, specification: changed }
}

/** A builder that goes on behind the core, with shapes inferred anew. */
export const continued = (core: Graph): GraphBuilder => GraphBuilder.from({ ...core, outputs: [] })
