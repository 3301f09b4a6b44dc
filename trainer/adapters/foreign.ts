/** A foreign detector as adapters look at it: which node makes a value, which shape it has, and what lies behind nodes that only move values. */
import { pruned } from '../engine/step-graph.ts'
import { elementCount, type Graph, type Node, type TensorData } from '../onnx/graph.ts'
import { misfit } from './adapter.ts'
import { ownName, type Settled } from './settle.ts'

export interface PictureInput {
  readonly name: string
  readonly width: number
  readonly height: number
  /** [1, H, W, 3] instead of [1, 3, H, W]. */
  readonly channelsLast: boolean
}

/** Ops that move values about without changing them. */
const movers = new Set(['Reshape', 'Transpose', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Cast'])

/** Ops that put values side by side or take them apart. */
const joiners = new Set(['Concat', 'Split', 'Slice'])

export class Foreign {
  readonly graph: Graph
  readonly input: PictureInput
  readonly #shapes: Settled['shapes']
  readonly #makers = new Map<string, Node>()
  readonly #users = new Map<string, Node[]>()

  /** @throws MuninnError BAD_MODEL when it does not take one picture */
  constructor({ graph, shapes }: Settled) {
    this.graph = graph
    this.#shapes = shapes
    for (const node of graph.nodes) {
      for (const name of node.outputs) this.#makers.set(name, node)
      for (const name of node.inputs) this.#users.set(name, [...(this.#users.get(name) ?? []), node])
    }
    this.input = pictureInput(graph)
  }

  /** The same file with this value as its only output. */
  upTo(name: string): Foreign {
    const outputs = [{ name, type: 'float32' as const, shape: this.shape(name) }]
    return new Foreign({ graph: pruned({ ...this.graph, outputs }), shapes: this.#shapes })
  }

  maker(name: string): Node | undefined {
    return this.#makers.get(name)
  }

  users(name: string): readonly Node[] {
    return this.#users.get(name) ?? []
  }

  shape(name: string): readonly number[] {
    return this.#shapes.value(name).shape
  }

  /** Cells of a map [1, K, h, w]. */
  cells(map: string): number {
    return elementCount(this.shape(map).slice(2))
  }

  constant(name: string): TensorData | undefined {
    return this.graph.initializers.get(name)
  }

  /** What was before nodes that only move values, and before these ops. */
  behind(name: string, ops: readonly string[] = []): string {
    let at = name
    for (;;) {
      const node = this.maker(at)
      if (!node || !(movers.has(node.op) || ops.includes(node.op))) return at
      at = node.inputs[0]!
    }
  }

  /** The map [1, K, h, w] of logits that a value was made from; undefined when it does not come from one. */
  mapBehind(name: string): string | undefined {
    const at = this.behind(name, ['Sigmoid', 'Softmax'])
    const shape = this.shape(at)
    return shape.length === 4 && shape[0] === 1 ? at : undefined
  }

  /** Parts of the Concat that a value comes from, in order; the value itself when it is none. */
  parts(name: string): readonly string[] {
    const at = this.behind(name)
    const node = this.maker(at)
    return node?.op === 'Concat' ? node.inputs : [at]
  }

  /** Nodes that a value depends on, in the order in which they run. */
  ancestors(name: string): Node[] {
    const needed = new Set([name])
    return this.graph.nodes
      .toReversed()
      .filter(({ inputs, outputs }) => {
        if (!outputs.some((each) => needed.has(each))) return false
        for (const each of inputs) needed.add(each)
        return true
      })
      .reverse()
  }

  /** Maps [1, K, h, w] that a value is made from and that convolutions end in: behind them values are only joined, cut and moved. */
  ends(name: string): string[] {
    return (
      this.ancestors(name)
        // A convolution behind a softmax is how expectations of distributions are exported.
        .filter(
          ({ op, inputs }) =>
            (op === 'Conv' && this.maker(this.behind(inputs[0]!))?.op !== 'Softmax') || (op === 'Add' && this.#addsBias(inputs)),
        )
        .map(({ outputs }) => outputs[0]!)
        .filter((map) => {
          const shape = this.shape(map)
          const users = this.users(map)
          const isEnd = users.every(({ op }) => joiners.has(op) || movers.has(op)) && !this.#attends(map)
          return shape.length === 4 && shape[0] === 1 && isEnd && (users.length > 0 || map === name)
        })
    )
  }

  /** Whether a map, moved about and cut, goes into a product with other computed values: queries, keys and values of an attention. */
  #attends(map: string): boolean {
    // Each value once: what is cut and joined again and again has ways without number.
    const reached = new Set([map])
    for (const name of reached)
      for (const { op, inputs, outputs } of this.users(name)) {
        if (op === 'MatMul' && inputs.every((each) => this.constant(each) === undefined)) return true
        if (joiners.has(op) || movers.has(op)) for (const each of outputs) reached.add(each)
      }
    return false
  }

  /** Paddle's converter adds the bias of a convolution in a node of its own. */
  #addsBias(inputs: readonly string[]): boolean {
    return inputs.some((each) => this.maker(each)?.op === 'Conv') && inputs.some((each) => this.constant(each) !== undefined)
  }

  /** Whether a value is the end of linear layers, before its softmax or sigmoid: of one, of several that are added, or of which the last is picked. */
  isLinear(name: string): boolean {
    const reached = new Set([name])
    for (const each of reached) {
      const node = this.maker(this.behind(each, ['Sigmoid', 'Softmax', 'TopK', 'Gather', 'Slice']))
      if (node?.op === 'MatMul' || node?.op === 'Gemm') return true
      if (node?.op === 'Concat' || node?.op === 'Add') for (const input of node.inputs) reached.add(input)
    }
    return false
  }

  /** Strides of maps over the picture. @throws MuninnError BAD_MODEL when they are none */
  strides(maps: readonly string[], family: string): number[] {
    const { width, height } = this.input
    const strides = maps.map((name) => {
      const [, , rows, columns] = this.shape(name) as [number, number, number, number]
      // Few cells leave several strides possible: grids halve.
      const stride = [4, 8, 16, 32, 64, 128, Math.round(width / columns), Math.round(height / rows)].find(
        (each) => Math.ceil(width / each) === columns && Math.ceil(height / each) === rows,
      )
      if (!stride)
        throw misfit(family, `a grid of ${columns} x ${rows} cells does not divide ${width} x ${height} pixels by a whole stride`)
      return stride
    })
    if (strides.some((stride, i) => stride <= (strides[i - 1] ?? 0)))
      throw misfit(family, `its grids have the strides ${strides.join(', ')}, not from fine to coarse`)
    return strides
  }

  /** Name of the first output of this shape; undefined stands for any size. */
  output(shape: readonly (number | undefined)[]): string | undefined {
    return this.outputs(shape)[0]
  }

  outputs(shape: readonly (number | undefined)[]): string[] {
    return this.graph.outputs
      .map(({ name }) => name)
      .filter((name) => {
        const own = this.shape(name)
        return own.length === shape.length && shape.every((size, i) => size === undefined || size === own[i])
      })
  }

  describeOutputs(): string {
    return this.graph.outputs.map(({ name, shape }) => `${ownName(name)} [${shape.join(', ')}]`).join(', ')
  }
}

function pictureInput({ inputs }: Graph): PictureInput {
  const [input, ...more] = inputs
  const [batch, a, b, c] = input?.shape ?? []
  const channelsLast = c === 3 && a !== 3
  const [height, width] = channelsLast ? [a, b] : [b, c]
  const fits = input?.shape.length === 4 && batch === 1 && (channelsLast || a === 3) && input.type === 'float32'
  if (!input || more.length > 0 || !fits || typeof width !== 'number' || typeof height !== 'number') {
    const has = inputs.map(({ name, type, shape }) => `${ownName(name)} ${type} [${shape.join(', ')}]`).join('; ')
    throw misfit('known', `it must have one float32 input [1, 3, H, W] or [1, H, W, 3], it has ${has}`)
  }
  return { name: input.name, width, height, channelsLast }
}
