/** Gradient rules of ops that pick, place, repeat or run along values by index. */
import type { Value } from '../graph/builder.ts'
import { intOf, normalAxis, textOf } from '../onnx/shapes.ts'
import type { Rule, RuleInput } from './rule.ts'

/** Values placed at indices: what is overwritten gets no gradient, what was placed gets it from where it lies. */
function placed(input: RuleInput, pick: (dy: Value) => Value, blank: (dy: Value) => Value): readonly (Value | null)[] {
  const { node, dy, wanted } = input
  const reduction = textOf(node.attributes.reduction, 'none')
  if (reduction !== 'none' && reduction !== 'add')
    throw new Error(`${node.op} ${node.name} with reduction ${reduction} has no gradient rule`)
  return [wanted[0] ? (reduction === 'add' ? dy : blank(dy)) : null, null, wanted[2] ? pick(dy) : null]
}

export const scatter = {
  CumSum: ({ g, node, inputs, dy }) => {
    const [reverse, exclusive] = [intOf(node.attributes.reverse, 0), intOf(node.attributes.exclusive, 0)]
    return [g.op('CumSum', [dy, inputs[1]!], { attributes: { reverse: 1 - reverse, exclusive } }), null]
  },
  DepthToSpace: ({ g, node, inputs, dy }) => {
    const block = intOf(node.attributes.blocksize, 1)
    if (textOf(node.attributes.mode, 'DCR') === 'DCR') return [g.op('SpaceToDepth', [dy], { attributes: { blocksize: block } })]
    const [n, channels, height, width] = inputs[0]!.shape as [number, number, number, number]
    const open = g.reshape(dy, [n, channels / block ** 2, height, block, width, block])
    return [g.reshape(g.transpose(open, [0, 1, 3, 5, 2, 4]), inputs[0]!.shape)]
  },
  GatherElements: ({ g, node, inputs, dy }) => {
    const attributes = { axis: intOf(node.attributes.axis, 0), reduction: 'add' }
    return [g.op('ScatterElements', [g.filled(inputs[0]!.shape), inputs[1]!, dy], { attributes }), null]
  },
  ScatterElements: (input) => {
    const { g, node, inputs } = input
    const [indices, updates] = [inputs[1]!, inputs[2]!]
    const attributes = { axis: intOf(node.attributes.axis, 0) }
    return placed(
      input,
      (dy) => g.op('GatherElements', [dy, indices], { attributes }),
      (dy) => g.op('ScatterElements', [dy, indices, g.filled(updates.shape)], { attributes }),
    )
  },
  ScatterND: (input) => {
    const { g, inputs } = input
    const [indices, updates] = [inputs[1]!, inputs[2]!]
    return placed(
      input,
      (dy) => g.op('GatherND', [dy, indices]),
      (dy) => g.op('ScatterND', [dy, indices, g.filled(updates.shape)]),
    )
  },
  SpaceToDepth: ({ g, node, dy }) => [
    g.op('DepthToSpace', [dy], { attributes: { blocksize: intOf(node.attributes.blocksize, 1), mode: 'DCR' } }),
  ],
  Tile: ({ g, inputs, outputs, dy }) => {
    const { shape } = inputs[0]!
    const open = shape.flatMap((size, i) => [outputs[0]!.shape[i]! / size, size])
    const copies = shape.flatMap((size, i) => (outputs[0]!.shape[i] === size ? [] : [2 * i]))
    return [g.reshape(g.sum(g.reshape(dy, open), copies), shape), null]
  },
  TopK: ({ g, node, inputs, outputs, dys }) => {
    const axis = normalAxis(intOf(node.attributes.axis, -1), inputs[0]!.shape.length)
    const [dy] = dys
    return [
      dy
        ? g.op('ScatterElements', [g.filled(inputs[0]!.shape), outputs[1]!, dy], { attributes: { axis, reduction: 'add' } })
        : null,
      null,
    ]
  },
  Trilu: ({ g, node, inputs, dy }) => [
    g.op('Trilu', [dy, inputs[1] ?? null], { attributes: { upper: intOf(node.attributes.upper, 1) } }),
    null,
  ],
} satisfies Record<string, Rule>
