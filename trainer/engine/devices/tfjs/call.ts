/** One node of the step graph as TensorFlow.js sees it. */
import type * as tfjs from '@tensorflow/tfjs-core'
import type { GraphBuilder, Value } from '../../../graph/builder.ts'
import type { Node } from '../../../onnx/graph.ts'
import { intsOf, normalAxis } from '../../../onnx/shapes.ts'

export type TF = typeof tfjs
export type Tensor = tfjs.Tensor

/** What runs a node; int64 and uint8 are int32 here, for TensorFlow.js has no others. */
export type Op = (call: Call) => Tensor | readonly Tensor[]

export class Call {
  readonly tf: TF
  readonly g: GraphBuilder
  readonly node: Node
  readonly #find: (name: string) => Tensor

  constructor({ tf, g, node, find }: { tf: TF; g: GraphBuilder; node: Node; find: (name: string) => Tensor }) {
    this.tf = tf
    this.g = g
    this.node = node
    this.#find = find
  }

  x(index = 0): Tensor {
    return this.#find(this.node.inputs[index]!)
  }

  get xs(): Tensor[] {
    return this.node.inputs.filter((name) => name !== '').map(this.#find)
  }

  has(index: number): boolean {
    return (this.node.inputs[index] ?? '') !== ''
  }

  /** Shapes are known before the run: of an input, or of an output. */
  from(index = 0): readonly number[] {
    return this.#input(index).shape
  }

  to(index = 0): number[] {
    return [...this.g.value(this.node.outputs[index]!).shape]
  }

  get inputs(): (Value | null)[] {
    return this.node.inputs.map((name) => (name === '' ? null : this.g.value(name)))
  }

  /** Numbers of a constant input, or of the attribute that older opsets have in its place. */
  numbers(index: number, attribute = ''): number[] | undefined {
    const tensor = this.g.constantOf(this.node.inputs[index] ?? '')
    if (tensor) return Array.from(tensor.data as ArrayLike<number | bigint>, Number)
    if (this.has(index))
      throw new Error(`${this.node.op} ${this.node.name} computes its ${attribute || 'shape'}; a constant is wanted`)
    return intsOf(this.node.attributes[attribute])?.slice()
  }

  /** Axes of a reduction and the like; all of them when none are named. */
  axes(index: number): number[] {
    const rank = this.from().length
    const named = this.numbers(index, 'axes')
    return (named?.length ? named : [...this.from().keys()]).map((axis) => normalAxis(axis, rank))
  }

  /** NCHW to NHWC: TensorFlow computes convolutions and pools so on every device. */
  channelsLast(x: Tensor): tfjs.Tensor4D {
    return this.tf.transpose(x, [0, 2, 3, 1]) as tfjs.Tensor4D
  }

  channelsFirst(x: Tensor): Tensor {
    return this.tf.transpose(x, [0, 3, 1, 2])
  }

  /** [C] as [1, C, 1, ...] for a tensor of this rank. */
  perChannel(x: Tensor, rank: number): Tensor {
    return this.tf.reshape(x, [1, x.size, ...Array(rank - 2).fill(1)])
  }

  #input(index: number): Value {
    return this.g.value(this.node.inputs[index]!)
  }
}
