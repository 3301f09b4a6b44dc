/** A core with other classes: what is known of the old ones stays to the last bit, wherever their filters lie. */
import { MuninnError } from '../../protocol/errors.ts'
import { elementCount, type Graph, intTensor, type TensorData } from '../onnx/graph.ts'
import { headOf, rowWidth } from './heads/table.ts'
import { Random } from './random.ts'
import type { Classifier, Specification } from './specification.ts'

/**
 * Filters of classes that stay are kept (found by name), new ones start near zero with a bias that suits most cells, those that are
 * gone go; filters between them that belong to no class (boxes, background) are kept.
 * @throws MuninnError BAD_MODEL when the filters of the classes are not known
 */
export function withClasses(
  core: Graph,
  specification: Specification,
  classes: readonly string[],
  seed = 1,
): { core: Graph; specification: Specification } {
  const same = classes.length === specification.classes.length && classes.every((name, i) => name === specification.classes[i])
  if (same) return { core, specification }
  if (specification.classifiers.length === 0)
    throw new MuninnError(
      'BAD_MODEL',
      `the classes of this ${specification.architecture} model cannot change (no convolution with a filter per class was found): it knows ${specification.classes.join(', ')}`,
    )
  const random = new Random(seed)
  const initializers = new Map(core.initializers)
  const { newClassBias } = headOf(specification)
  for (const classifier of specification.classifiers) {
    const order = channelOrder(classifier, specification.classes, classes)
    const weight = initializers.get(classifier.weight)!
    const bias = initializers.get(classifier.bias)!
    // A new class passes through a filter of its own channel unchanged.
    const centre = elementCount(weight.shape.slice(2)) >> 1
    const fresh = classifier.depthwise ? (i: number) => Number(i === centre) : () => random.normal() * 0.01
    initializers.set(classifier.weight, picked(weight, 0, order, fresh))
    // A bias that is added behind the convolution is [1, channels, 1, 1].
    const axis = bias.shape.indexOf(elementCount(bias.shape))
    initializers.set(
      classifier.bias,
      picked(bias, axis, order, () => (classifier.depthwise ? 0 : newClassBias)),
    )
  }
  const before = rowWidth(specification)
  const changed = { ...specification, classes: [...classes] }
  for (const { op, inputs } of core.nodes) {
    const shape = op === 'Reshape' ? initializers.get(inputs[1]!) : undefined
    if (!shape) continue
    const sizes = Array.from(shape.data as BigInt64Array, Number)
    // The built-in head's reshapes to rows: [batch, width, cells].
    if (sizes.length === 3 && sizes[1] === before && sizes[2] === -1)
      initializers.set(inputs[1]!, intTensor([3], sizes.with(1, rowWidth(changed))))
  }
  const depthwise = new Set(specification.classifiers.filter((each) => each.depthwise).map(({ weight }) => weight))
  const nodes = core.nodes.map((node) =>
    depthwise.has(node.inputs[1] ?? '') ? { ...node, attributes: { ...node.attributes, group: classes.length } } : node,
  )
  return { core: { ...core, nodes, initializers }, specification: changed }
}

/** Where each channel of the changed convolution comes from; null for that of a new class. */
export function channelOrder(
  { anchors = 1, before = 0, after = 0 }: Pick<Classifier, 'anchors' | 'before' | 'after'>,
  old: readonly string[],
  classes: readonly string[],
): (number | null)[] {
  const width = before + old.length + after
  const count = (from: number, size: number) => Array.from({ length: size }, (_, i) => from + i)
  return count(0, anchors).flatMap((anchor) => {
    const start = anchor * width
    const kinds = classes.map((name) => {
      const known = old.indexOf(name)
      return known < 0 ? null : start + before + known
    })
    return [...count(start, before), ...kinds, ...count(start + before + old.length, after)]
  })
}

/** A tensor with other slabs along an axis that everything before has size 1 of. */
function picked(
  tensor: TensorData,
  axis: number,
  order: readonly (number | null)[],
  fresh: (index: number) => number,
): TensorData {
  const size = elementCount(tensor.shape.slice(axis + 1))
  const data = new Float32Array(order.length * size)
  for (const [i, from] of order.entries()) {
    if (from === null) for (let j = 0; j < size; j++) data[i * size + j] = fresh(j)
    else data.set((tensor.data as Float32Array).subarray(from * size, (from + 1) * size), i * size)
  }
  return { type: 'float32', shape: tensor.shape.with(axis, order.length), data }
}
