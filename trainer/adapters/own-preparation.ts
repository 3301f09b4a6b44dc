/**
 * Where a file prepares the picture itself, resizing it and making a batch of it (torchvision's detectors take [3, H, W]), the network is read from
 * behind that: pictures are then letterboxed and normalised as everywhere here, with the numbers that the file has.
 */
import { elementCount, type Node, usersOf } from '../onnx/graph.ts'
import { numbers } from '../onnx/inference.ts'
import type { Settled } from './settle.ts'

/** Ops that make a batch of a picture, or another size of it: what stands before the last of them is no part of the network. */
const batching: readonly string[] = ['Unsqueeze', 'Squeeze', 'Concat', 'Split', 'Gather', 'Resize']
const passing: readonly string[] = ['Identity', 'Cast', 'Pad']
const affine: readonly string[] = ['Sub', 'Div', 'Add', 'Mul']

export function withoutPreparation(settled: Settled): Settled {
  const { graph, shapes } = settled
  const [input, ...more] = graph.inputs
  if (!input || more.length > 0 || input.type !== 'float32') return settled
  let at = input.name
  let batched = false
  const passed: Node[] = []
  let end: { name: string; normalization: Affine; nodes: number } | undefined
  let normalization: Affine = { factor: [1, 1, 1], offset: [0, 0, 0] }
  const users = usersOf(graph)
  for (;;) {
    const [user, ...others] = users.get(at) ?? []
    if (!user || others.length > 0 || user.domain !== '' || user.inputs[0] !== at) break
    const next = affine.includes(user.op) ? after(normalization, user, settled) : normalization
    const isBatching = batching.includes(user.op) && user.outputs.length === 1 && (user.op !== 'Gather' || isFirst(user, settled))
    if (!next || !(isBatching || passing.includes(user.op) || affine.includes(user.op))) break
    batched ||= isBatching
    normalization = next
    at = user.outputs[0]!
    passed.push(user)
    // Padding that no batch is made of is a convolution's.
    if (!batched || passing.includes(user.op)) continue
    end = { name: at, normalization, nodes: passed.length }
  }
  const shape = end ? shapes.value(end.name).shape : []
  if (!end || shape.length !== 4 || shape[0] !== 1 || shape[1] !== 3) return settled
  const before = new Set(passed.slice(0, end.nodes))
  return {
    ...settled,
    graph: {
      ...graph,
      inputs: [{ name: end.name, type: 'float32', shape }],
      nodes: graph.nodes.filter((node) => !before.has(node)),
    },
    ...normalizationOf(end.normalization),
  }
}

/** By channel: what becomes of x is factor x + offset. */
interface Affine {
  readonly factor: readonly number[]
  readonly offset: readonly number[]
}

/** Behind a node that shifts or scales every channel by a constant; undefined where it is none. */
function after({ factor, offset }: Affine, { op, inputs }: Node, { graph }: Settled): Affine | undefined {
  const tensor = graph.initializers.get(inputs[1]!)
  const each = tensor && numbers(tensor)
  const perChannel = tensor && elementCount(tensor.shape.slice(-2)) === 1 && each!.length === 3
  if (!each || !(perChannel || each.length === 1)) return undefined
  const by = (channel: number) => each[perChannel ? channel : 0]!
  const scaled = (values: readonly number[]) => values.map((value, i) => (op === 'Mul' ? value * by(i) : value / by(i)))
  const shifted = offset.map((value, i) => (op === 'Add' ? value + by(i) : value - by(i)))
  return op === 'Add' || op === 'Sub' ? { factor, offset: shifted } : { factor: scaled(factor), offset: scaled(offset) }
}

/** Whether a Gather takes the only picture out of a batch. */
const isFirst = ({ attributes, inputs }: Node, { graph }: Settled): boolean => {
  const index = graph.initializers.get(inputs[1]!)
  return Number(attributes.axis ?? 0) === 0 && index?.shape.length === 0 && Number(index.data[0]) === 0
}

/** Of RGB, which all that prepare their own take; means within 1 are those of pixels from 0 to 1. */
function normalizationOf({ factor, offset }: Affine): Pick<Settled, 'normalization'> {
  if (factor.every((each) => each === 1) && offset.every((each) => each === 0)) return {}
  const short = (value: number) => Number(value.toPrecision(6))
  const mean = factor.map((each, i) => short(-offset[i]! / each) || 0)
  const scale = mean.every((each) => each <= 1) ? 1 / 255 : 1
  return { normalization: { channels: 'rgb', scale, mean, deviation: factor.map((each) => short(1 / each)) } }
}
