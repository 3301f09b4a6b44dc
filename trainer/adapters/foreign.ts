/** A foreign detector as adapters look at it: which node makes a value, which shape it has, and what lies behind nodes that only move values. */
import { pruned } from '../engine/step-graph.ts'
import { elementCount, type Graph, type Node, type TensorData, usersOf } from '../onnx/graph.ts'
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
export const movers: ReadonlySet<string> = new Set([
  'Reshape',
  'Transpose',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Identity',
  'Cast',
])

/** Ops by which exports choose the best boxes. */
const choices: readonly string[] = ['TopK', 'NonMaxSuppression', 'NonZero']

/** Ops that put values side by side or take them apart. */
const joiners = new Set(['Concat', 'Split', 'Slice'])

export class Foreign {
  readonly graph: Graph
  readonly input: PictureInput
  /** Why it has no outputs here; its maps and rows are there all the same. */
  readonly cut: string | undefined
  readonly normalization: Settled['normalization']
  /** Values of which it chooses rows, where it has no outputs. */
  readonly choosesFrom: readonly string[]
  readonly #shapes: Settled['shapes']
  readonly #makers = new Map<string, Node>()
  readonly #users: ReadonlyMap<string, readonly Node[]>

  /** @throws MuninnError BAD_MODEL when it does not take one picture */
  constructor({ graph, shapes, cut, choosesFrom = [], normalization }: Settled) {
    this.graph = graph
    this.cut = cut
    this.normalization = normalization
    this.choosesFrom = choosesFrom
    this.#shapes = shapes
    this.#users = usersOf(graph)
    for (const node of graph.nodes) for (const name of node.outputs) this.#makers.set(name, node)
    this.input = pictureInput(graph)
  }

  /** The same file with these values as its only outputs. */
  upTo(...names: readonly string[]): Foreign {
    const outputs = names.map((name) => ({ name, type: 'float32' as const, shape: this.shape(name) }))
    return this.#with(pruned({ ...this.graph, outputs }), this.#shapes)
  }

  #with(graph: Graph, shapes: Settled['shapes']): Foreign {
    return new Foreign({ graph, shapes, ...(this.normalization && { normalization: this.normalization }) })
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

  /**
   * Maps [1, K, h, w] that a value is made from and that convolutions end in: behind them values are only joined, cut and moved, and no other
   * of them hangs on them (as on queries and keys of an attention, or on a plain convolution whose map is joined with others in the neck).
   */
  ends(name: string): string[] {
    const maps = this.ancestors(name)
      // A convolution behind a softmax is how expectations of distributions are exported.
      .filter(
        ({ op, inputs }) =>
          (op === 'Conv' && this.maker(this.behind(inputs[0]!))?.op !== 'Softmax') || (op === 'Add' && this.#addsBias(inputs)),
      )
      .map(({ outputs }) => outputs[0]!)
      .filter((map) => {
        const shape = this.shape(map)
        const users = this.users(map)
        // YOLOv6 has the sigmoid of its scores before it joins them.
        const isEnd = users.every(({ op }) => joiners.has(op) || movers.has(op) || op === 'Sigmoid')
        return shape.length === 4 && shape[0] === 1 && isEnd && (users.length > 0 || map === name)
      })
    const ends = new Set(maps)
    const before = new Set<string>()
    for (const { inputs, outputs } of this.graph.nodes.toReversed())
      if (outputs.some((each) => ends.has(each) || before.has(each))) for (const each of inputs) before.add(each)
    return maps.filter((map) => !before.has(map))
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

  /**
   * The file up to rows [1, width, n] or turned, of a number that fits, where it goes on to choose the best of them or has more beside them (masks,
   * key points): the last before a choice that are joined, or the first parts of what is joined there. Undefined where there are none.
   */
  rowsInside(width: number, fits: (count: number) => boolean): { foreign: Foreign; chosen: boolean } | undefined {
    const { choice, joined } = this.joinedBeforeChoice()
    for (const { inputs, outputs, attributes } of joined.toReversed()) {
      const shape = this.shape(outputs[0]!)
      const axis = (Number(attributes.axis) + 3) % 3
      const sizes = inputs.map((each) => this.shape(each)[axis]!)
      const parts = sizes.findIndex((_, i) => sizes.slice(0, i + 1).reduce((sum, each) => sum + each, 0) === width) + 1
      const across = axis > 0 && parts > 0
      const whole = shape.indexOf(width, 1) > 0 && fits(shape[1] === width ? shape[2]! : shape[1]!)
      if (whole) return { foreign: this.upTo(outputs[0]!), chosen: choice }
      if (across && parts > 1 && fits(shape[3 - axis]!))
        return { foreign: this.#upToParts(outputs[0]!, inputs.slice(0, parts), axis, width), chosen: choice }
    }
    return undefined
  }

  /** Widths of the rows that rowsInside may find, and of box and scores that a suppression inside takes. */
  widthsInside(): number[] {
    const { scores } = this.beforeSuppression() ?? {}
    const apart = scores === undefined ? [] : this.shape(scores).slice(1)
    const joined = this.joinedBeforeChoice().joined.flatMap(({ outputs }) => this.shape(outputs[0]!).slice(1))
    return [...joined, ...apart.map((size) => size + 4)]
  }

  /** Boxes [1, n, 4] and scores [1, n, C] or turned of all cells, where a suppression inside takes them, or the best of them (mmdeploy). */
  beforeSuppression(): { boxes: string; scores: string } | undefined {
    const [node, ...more] = this.graph.nodes.filter(({ op }) => op === 'NonMaxSuppression')
    if (!node || more.length > 0) return undefined
    const [boxes, scores] = node.inputs.slice(0, 2).map((name) => this.behind(name, ['Gather'])) as [string, string]
    const [count, four] = this.shape(boxes).slice(1)
    const fits = this.shape(boxes).length === 3 && four === 4 && this.shape(scores).length === 3
    return fits && this.shape(scores).includes(count!, 1) ? { boxes, scores } : undefined
  }

  /** Where values [1, a, b] are joined before the best boxes are chosen; everywhere in a file that chooses none. */
  joinedBeforeChoice(): { choice: boolean; joined: Node[] } {
    const { nodes } = this.graph
    const at = nodes.findIndex(({ op }) => choices.includes(op))
    const joined = nodes.slice(0, at < 0 ? undefined : at).filter((node) => {
      const shape = node.op === 'Concat' ? this.shape(node.outputs[0]!) : []
      return shape.length === 3 && shape[0] === 1
    })
    return { choice: at >= 0, joined }
  }

  #upToParts(name: string, parts: readonly string[], axis: number, width: number): Foreign {
    const rows = `${name}/rows`
    const shape = this.shape(name).with(axis, width)
    const node: Node = { op: 'Concat', domain: '', name: rows, inputs: [...parts], outputs: [rows], attributes: { axis } }
    const graph = {
      ...this.graph,
      nodes: [...this.graph.nodes, node],
      outputs: [{ name: rows, type: 'float32' as const, shape }],
    }
    const shapes = { value: (each: string) => (each === rows ? { shape } : this.#shapes.value(each)) }
    return this.#with(pruned(graph), shapes)
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
    if (this.cut !== undefined) return `of a size that is known only in the run (${this.cut})`
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
