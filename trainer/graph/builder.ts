/** Builds an ONNX graph op by op with shapes inferred as it goes, so that a wrong shape is told where it is made. */
import { evaluate } from '../onnx/evaluate.ts'
import {
  type Attribute,
  type DataType,
  elementCount,
  emptyGraph,
  floatTensor,
  type Graph,
  intTensor,
  type Node,
  type TensorData,
  type ValueInfo,
} from '../onnx/graph.ts'
import { constantValue, inferOutputs, normalAxis, type Shaped } from '../onnx/shapes.ts'

/** A tensor in the graph under construction. */
export interface Value extends Shaped {
  readonly name: string
}

export type Attributes = Readonly<Record<string, Attribute>>

/** Output of an op whose count of outputs is one unless told. */
export interface OpOptions {
  readonly attributes?: Attributes
  readonly outputs?: number
  readonly domain?: string
  /** Name of the first output; made up when left out. */
  readonly name?: string
}

export class GraphBuilder {
  readonly graph: Graph
  readonly #values = new Map<string, Value>()
  readonly #nodeNames = new Set<string>()
  readonly #shared = new Map<string, Value>()
  /** Results of nodes that follow from shapes and constants alone. */
  readonly #known = new Map<string, TensorData>()
  /** What a reshaped value was before it was reshaped. */
  readonly #sources = new Map<string, Value>()
  readonly #prefix: string
  #counter = 0

  /** @param prefix of made-up names, so that they never meet the names of nodes appended later */
  constructor(name: string, prefix = '') {
    this.graph = emptyGraph(name)
    this.#prefix = prefix
  }

  /** A builder that goes on where `graph` ends; the graph itself is not changed. Its outputs are left out: the caller names new ones. */
  static from(graph: Graph): GraphBuilder {
    const builder = new GraphBuilder(graph.name)
    Object.assign(builder.graph.opsets, graph.opsets)
    Object.assign(builder.graph.metadata, graph.metadata)
    for (const { name, type, shape } of graph.inputs)
      builder.input(
        name,
        type,
        shape.map((size) => (typeof size === 'number' ? size : 1)),
      )
    for (const [name, tensor] of graph.initializers) builder.initializer(name, tensor)
    for (const node of graph.nodes) builder.append(node)
    return builder
  }

  // ---- values

  input(name: string, type: DataType, shape: readonly number[]): Value {
    this.graph.inputs.push({ name, type, shape })
    return this.#keep({ name, type, shape })
  }

  initializer(name: string, tensor: TensorData): Value {
    this.graph.initializers.set(name, tensor)
    return this.#keep({ name, type: tensor.type, shape: tensor.shape })
  }

  /** A float32 constant: a scalar, or an array with its shape. Equal scalars are shared. */
  constant(value: number): Value
  constant(values: ArrayLike<number>, shape: readonly number[]): Value
  constant(value: number | ArrayLike<number>, shape: readonly number[] = []): Value {
    if (typeof value !== 'number') return this.initializer(this.#fresh('constant'), floatTensor(shape, value))
    return this.once(`float ${value}`, () => this.initializer(this.#fresh('constant'), floatTensor([], [value])))
  }

  /** An int64 constant vector, shared between equal ones. */
  ints(values: readonly number[]): Value {
    return this.once(`ints ${values.join(',')}`, () => this.initializer(this.#fresh('ints'), intTensor([values.length], values)))
  }

  /** float32 zeros (or `value`s) of a shape, made in the run so that the file stays small. */
  filled(shape: readonly number[], value = 0): Value {
    return this.once(`filled ${value} ${shape.join(',')}`, () =>
      this.op('ConstantOfShape', [this.ints(shape)], { attributes: { value: { tensor: floatTensor([1], [value]) } } }),
    )
  }

  /** The value with this name. @throws Error when there is none */
  value(name: string): Value {
    const value = this.#values.get(name)
    if (!value) throw new Error(`the graph has no value called ${name}`)
    return value
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  output(value: Value, name: string): void {
    if (value.name !== name) this.op('Identity', [value], { name })
    const info: ValueInfo = { name, type: value.type, shape: value.shape.map((size, i) => (size === -1 ? `${name}_${i}` : size)) }
    this.graph.outputs.push(info)
  }

  /** Makes a value at the first call with this key and gives the same one afterwards. */
  once(key: string, make: () => Value): Value {
    const known = this.#shared.get(key)
    if (known) return known
    const made = make()
    this.#shared.set(key, made)
    return made
  }

  /** What `once` made with this key, if it did. */
  made(key: string): Value | undefined {
    return this.#shared.get(key)
  }

  /** The tensor behind a value when it is known before the run. */
  constantOf(name: string): TensorData | undefined {
    return this.graph.initializers.get(name) ?? this.#known.get(name)
  }

  // ---- nodes

  /** Adds a node that already has its names. */
  append(node: Node): Value[] {
    if (node.op === 'Constant' && node.domain === '') return [this.initializer(node.outputs[0]!, constantValue(node))]
    const inputs = node.inputs.map((name) => (name === '' ? null : this.value(name)))
    const constant = (index: number) => this.constantOf(node.inputs[index] ?? '')
    const [first, ...more] = inferOutputs({ node, inputs, constant })
    const known = evaluate({ node, shapes: inputs, constant, out: first! })
    if (known) this.#known.set(node.outputs[0]!, known)
    this.graph.nodes.push(node)
    this.#nodeNames.add(node.name)
    const shapes = [known ?? first!, ...more]
    return node.outputs.map((name, i) => this.#keep({ name, type: shapes[i]!.type, shape: shapes[i]!.shape }))
  }

  /** Adds a node, or where its value is known in advance, that value as an initialiser. */
  appendFolded(node: Node): Value[] {
    const values = this.append(node)
    const known = values.length === 1 ? this.#known.get(values[0]!.name) : undefined
    if (!known) return values
    this.graph.nodes.pop()
    return [this.initializer(values[0]!.name, known)]
  }

  /** Adds a node; null stands for an optional input that is left out. */
  ops(
    op: string,
    inputs: readonly (Value | null)[],
    { attributes = {}, outputs = 1, domain = '', name }: OpOptions = {},
  ): Value[] {
    const names = Array.from({ length: outputs }, (_, i) => (i === 0 && name ? name : this.#fresh(op)))
    if (domain !== '') this.graph.opsets[domain] ??= 1
    const { axes, ...others } = attributes
    // Callers write opset 17; a graph that was read may be newer, and from opset 18 on every reduction takes its axes as an input.
    const asInput = domain === '' && op.startsWith('Reduce') && Array.isArray(axes) && this.graph.opsets['']! >= 18
    return this.append({
      op,
      domain,
      name: names[0]!,
      inputs: [...inputs, ...(asInput ? [this.ints(axes as readonly number[])] : [])].map((each) => each?.name ?? ''),
      outputs: names,
      attributes: asInput ? others : attributes,
    })
  }

  /** Adds a node with one output. */
  op(op: string, inputs: readonly (Value | null)[], options: OpOptions = {}): Value {
    return this.ops(op, inputs, options)[0]!
  }

  /** Adds a node whose output shape the caller knows better than inference (ops of other domains). */
  opShaped(
    op: string,
    inputs: readonly (Value | null)[],
    shape: readonly number[],
    { attributes = {}, domain = '' }: OpOptions = {},
  ): Value {
    const name = this.#fresh(op)
    if (domain !== '') this.graph.opsets[domain] ??= 1
    this.graph.nodes.push({ op, domain, name, inputs: inputs.map((each) => each?.name ?? ''), outputs: [name], attributes })
    return this.#keep({ name, type: 'float32', shape })
  }

  // ---- the ops that are written most

  add = (a: Value, b: Value): Value => this.op('Add', [a, b])
  sub = (a: Value, b: Value): Value => this.op('Sub', [a, b])
  mul = (a: Value, b: Value): Value => this.op('Mul', [a, b])
  div = (a: Value, b: Value): Value => this.op('Div', [a, b])
  neg = (a: Value): Value => this.op('Neg', [a])
  exp = (a: Value): Value => this.op('Exp', [a])
  log = (a: Value): Value => this.op('Log', [a])
  sqrt = (a: Value): Value => this.op('Sqrt', [a])
  relu = (a: Value): Value => this.op('Relu', [a])
  sigmoid = (a: Value): Value => this.op('Sigmoid', [a])
  max = (a: Value, b: Value): Value => this.op('Max', [a, b])
  min = (a: Value, b: Value): Value => this.op('Min', [a, b])
  matMul = (a: Value, b: Value): Value => this.op('MatMul', [a, b])
  scale = (a: Value, factor: number): Value => (factor === 1 ? a : this.op('Mul', [a, this.constant(factor)]))

  /** Of what was only reshaped before, the source is: the graph leaves out the step between when nobody else reads it. */
  reshape(a: Value, shape: readonly number[]): Value {
    const same = ({ shape: other }: Value) => other.length === shape.length && other.every((size, i) => size === shape[i])
    if (same(a)) return a
    // A size of 0 means that of the very value which is reshaped.
    const source = shape.includes(0) ? a : (this.#sources.get(a.name) ?? a)
    if (same(source)) return source
    const made = this.op('Reshape', [source, this.ints(shape)])
    this.#sources.set(made.name, source)
    return made
  }

  /** The same numbers as they were made, in whatever shape. */
  unreshaped(a: Value): Value {
    return this.#sources.get(a.name) ?? a
  }

  transpose(a: Value, perm: readonly number[]): Value {
    return this.op('Transpose', [a], { attributes: { perm } })
  }

  concat(values: readonly Value[], axis: number, name?: string): Value {
    return values.length === 1 ? values[0]! : this.op('Concat', values, { attributes: { axis }, name })
  }

  slice(a: Value, starts: readonly number[], ends: readonly number[], axes: readonly number[], steps?: readonly number[]): Value {
    return this.op('Slice', [a, this.ints(starts), this.ints(ends), this.ints(axes), ...(steps ? [this.ints(steps)] : [])])
  }

  /** Cuts along an axis. Slices, not Split: WebGPU takes about ten outputs a node at most. */
  cut(a: Value, sizes: readonly number[], axis: number): Value[] {
    const at = normalAxis(axis, a.shape.length)
    let from = 0
    return sizes.map((size) => {
      const part = this.slice(a, [from], [from + size], [at])
      from += size
      return part
    })
  }

  sum(a: Value, axes: readonly number[] = [...a.shape.keys()], keep = false): Value {
    return axes.length === 0 ? a : this.op('ReduceSum', [a, this.ints(axes)], { attributes: { keepdims: Number(keep) } })
  }

  mean(a: Value, axes: readonly number[] = [...a.shape.keys()], keep = false): Value {
    return this.op('ReduceMean', [a], { attributes: { axes, keepdims: Number(keep) } })
  }

  conv(
    x: Value,
    w: Value,
    bias: Value | null,
    { stride = 1, pad = 0, group = 1 }: { stride?: number; pad?: number; group?: number } = {},
  ): Value {
    const attributes = { kernel_shape: w.shape.slice(2), strides: [stride, stride], pads: [pad, pad, pad, pad], group }
    return this.op('Conv', bias ? [x, w, bias] : [x, w], { attributes })
  }

  elementsOf = (a: Value): number => elementCount(a.shape)

  #fresh(kind: string): string {
    let name: string
    do name = `${this.#prefix}${kind}_${this.#counter++}`
    while (this.#values.has(name) || this.#nodeNames.has(name))
    return name
  }

  #keep(value: Value): Value {
    this.#values.set(value.name, value)
    return value
  }
}
