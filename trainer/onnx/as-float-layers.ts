/** Layers of 8-bit numbers as float32 ones: a walk over the nodes that keeps for every quantised value the name of the real value it stands for. */
import { elementCount, type Graph, type Node, type TensorData } from './graph.ts'
import { intOf } from './inference.ts'

/** Ops that move quantised values about, or choose among them: of real values they are the same. */
const movers = [
  'Concat',
  'Expand',
  'Flatten',
  'Gather',
  'Identity',
  'MaxPool',
  'Reshape',
  'Resize',
  'Slice',
  'Split',
  'Squeeze',
  'Tile',
  'Transpose',
  'Unsqueeze',
]

/** Ops whose result may be below 0: a ReLU behind them is left out by quantisers, for the range of the result does its work. */
const linear = ['Add', 'BatchNormalization', 'Conv', 'ConvTranspose', 'Gemm', 'MatMul']

/** Inputs of most quantised ops: (x, scale, zero point) of each operand, then the scale and the zero point of the result, then the bias. */
type Nine = [string, string, string, string, string, string, string, string, string?]

/** The standard's quantised ops, and those that onnxruntime has beside them (com.microsoft). */
const rules: Readonly<Record<string, (walk: Walk, node: Node) => void>> = {
  QuantizeLinear: (walk, node) => walk.quantize(node),
  DequantizeLinear: (walk, node) => walk.dequantize(node),
  DynamicQuantizeLinear: (walk, node) => walk.dynamic(node),
  ConvInteger: (walk, node) => walk.integers('Conv', node),
  MatMulInteger: (walk, node) => walk.integers('MatMul', node),
  QLinearConv: (walk, node) => walk.convolution(node),
  QLinearMatMul: (walk, node) => walk.pair('MatMul', node),
  QGemm: (walk, node) => walk.gemm(node),
  QLinearAdd: (walk, node) => walk.pair('Add', node),
  QLinearMul: (walk, node) => walk.pair('Mul', node),
  QLinearAveragePool: (walk, node) => walk.single('AveragePool', node),
  QLinearGlobalAveragePool: (walk, node) => walk.single('GlobalAveragePool', node),
  QLinearLeakyRelu: (walk, node) => walk.single('LeakyRelu', node),
  QLinearSigmoid: (walk, node) => walk.single('Sigmoid', node),
  QLinearSoftmax: (walk, node) => walk.single('Softmax', node),
  QLinearConcat: (walk, node) => walk.concat(node),
}

/** Says what is not known here. */
class Unknown extends Error {}

/** The float graph, or in words what in it is not known here; undefined where nothing is quantised. */
export function unquantized(graph: Graph): { graph: Graph; layers: number } | string | undefined {
  try {
    const walk = new Walk(graph)
    const float = walk.run()
    return walk.layers > 0 ? { graph: float, layers: walk.layers } : undefined
  } catch (error) {
    if (error instanceof Unknown) return error.message
    throw error
  }
}

class Walk {
  layers = 0
  readonly #graph: Graph
  readonly #initializers: Map<string, TensorData>
  readonly #nodes: Node[] = []
  /** Of float values that are another one now. */
  readonly #aliases = new Map<string, string>()
  /** Of quantised values: the float value that they stand for. */
  readonly #real = new Map<string, string>()
  readonly #makers = new Map<string, Node>()
  /** Results of whole-number layers, whose scale is multiplied to them later. */
  readonly #whole = new Set<string>()
  /** How often a value is read. */
  readonly #uses = new Map<string, number>()

  constructor(graph: Graph) {
    this.#graph = graph
    this.#initializers = new Map(graph.initializers)
    for (const name of [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)])
      this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1)
  }

  run(): Graph {
    for (const node of this.#graph.nodes) {
      try {
        this.#visit(node)
      } catch (error) {
        if (!(error instanceof Unknown)) throw error
        throw new Unknown(`${error.message} at node ${node.name || node.outputs[0]} (${node.op})`)
      }
    }
    for (const { name } of this.#graph.outputs) {
      if (this.#real.has(name)) throw new Unknown(`its output ${name} is of 8 bits`)
      const at = this.#at(name)
      if (at !== name)
        this.#emit({ op: 'Identity', domain: '', name: `${name}/float`, inputs: [at], outputs: [name], attributes: {} })
    }
    return { ...this.#graph, nodes: this.#nodes, initializers: this.#initializers }
  }

  #visit(node: Node): void {
    const rule = ['', 'com.microsoft'].includes(node.domain) && Object.hasOwn(rules, node.op) ? rules[node.op] : undefined
    if (rule) rule(this, node)
    else if (node.inputs.some((name) => this.#real.has(name))) this.#moved(node)
    else if (!this.#isFolded(node)) this.#emit({ ...node, inputs: node.inputs.map((name) => this.#at(name)) })
  }

  quantize({ inputs: [x, scale, zero], outputs: [y] }: Node): void {
    this.#real.set(y!, this.#ranged(this.#at(x!), scale!, zero))
  }

  dequantize(node: Node): void {
    const [[x, scale, zero], y] = [node.inputs as [string, string, string?], node.outputs[0]!]
    const real = this.#real.get(x)
    const constant = this.#constant(x)
    if (real !== undefined) this.#aliases.set(y, real)
    else if (constant) {
      if (constant.shape.length > 1) this.layers++
      this.#initializers.set(y, this.#dequantized(x, scale, zero, intOf(node.attributes.axis, 1)))
    } else this.#emit({ ...node, inputs: [this.#at(x), scale, ...(zero ? [zero] : [])] })
  }

  /** The real value stands for the quantised one, so that its scale is 1 from here on. */
  dynamic({ inputs: [x], outputs: [y, scale, zero] }: Node): void {
    this.#real.set(y!, this.#at(x!))
    this.#initializers.set(scale!, { type: 'float32', shape: [], data: Float32Array.of(1) })
    this.#initializers.set(zero!, { type: 'uint8', shape: [], data: Uint8Array.of(0) })
  }

  convolution(node: Node): void {
    const [x, xs, xz, w, ws, wz, ys, yz, bias] = node.inputs as Nine
    const terms = [this.#operand(x, xs, xz), this.#operand(w, ws, wz, 0), ...(bias ? [this.#bias(bias, xs, ws)] : [])]
    this.layers++
    this.#emitRanged({ ...node, op: 'Conv', domain: '', inputs: terms }, ys, yz)
  }

  gemm(node: Node): void {
    const [a, as, az, b, bs, bz, bias, ys, yz] = node.inputs as Nine
    const axis = node.attributes.transB ? 0 : -1
    const terms = [this.#operand(a, as, az), this.#operand(b, bs, bz, axis), ...(bias ? [this.#bias(bias, as, bs)] : [])]
    this.layers++
    this.#emitRanged({ ...node, op: 'Gemm', domain: '', inputs: terms }, ys, yz)
  }

  /** Two quantised operands: Add, Mul, MatMul. */
  pair(op: string, node: Node): void {
    const [a, as, az, b, bs, bz, ys, yz] = node.inputs as Nine
    if (op === 'MatMul') this.layers++
    this.#emitRanged({ ...node, op, domain: '', inputs: [this.#operand(a, as, az), this.#operand(b, bs, bz)] }, ys, yz)
  }

  single(op: string, node: Node): void {
    const [x, scale, zero] = node.inputs as Nine
    // Of onnxruntime's ops alone; the standard's do not know them.
    const { channels_last, opset, ...attributes } = node.attributes
    if (intOf(channels_last, 0)) throw new Unknown('channels come last')
    this.#emit({ ...node, op, domain: '', inputs: [this.#operand(x, scale, zero)], attributes })
    this.#real.set(node.outputs[0]!, node.outputs[0]!)
  }

  concat(node: Node): void {
    const [, , ...parts] = node.inputs
    const values = parts.flatMap((part, i) => (i % 3 === 0 ? [this.#operand(part, parts[i + 1]!, parts[i + 2]!)] : []))
    this.#emit({ ...node, op: 'Concat', domain: '', inputs: values })
    this.#real.set(node.outputs[0]!, node.outputs[0]!)
  }

  #moved(node: Node): void {
    if (node.domain !== '' || !movers.includes(node.op))
      throw new Unknown('8-bit numbers are computed with in a way that is not known')
    this.#emit({ ...node, inputs: node.inputs.map((name) => this.#real.get(name) ?? this.#at(name)) })
    for (const name of node.outputs) if (name !== '') this.#real.set(name, name)
  }

  /** A layer whose result is quantised: its range may do the work of a ReLU. Without a scale the result is of float32 (QGemm). */
  #emitRanged(node: Node, scale: string | undefined, zero: string | undefined): void {
    this.#emit(node)
    if (scale) this.#real.set(node.outputs[0]!, this.#ranged(node.outputs[0]!, scale, zero))
  }

  #emit(node: Node): void {
    this.#nodes.push(node)
    for (const name of node.outputs) this.#makers.set(name, node)
  }

  #at(name: string): string {
    return this.#aliases.get(name) ?? name
  }

  #constant(name: string | undefined): TensorData | undefined {
    return name === undefined || name === '' ? undefined : this.#initializers.get(this.#at(name))
  }

  /** scale (q - zero point), for one scale or one along an axis. */
  #dequantized(name: string, scale: string, zero: string | undefined, axis: number): TensorData {
    const [q, scales, zeros] = [this.#constant(name), this.#constant(scale), this.#constant(zero)]
    const along = q && scales && scales.data.length > 1 ? q.shape.at(axis) : 1
    // Blocks of scales (opset 21) are of large language models.
    if (!isWhole(q) || scales?.type !== 'float32' || (zero && !zeros) || scales.data.length !== along)
      throw new Unknown('a scale or a zero point is not as the standard has it')
    const inner = along === 1 ? q.data.length : elementCount(q.shape.slice(axis < 0 ? q.shape.length + axis + 1 : axis + 1))
    const data = scaled(q.data as ArrayLike<number>, inner, scales, zeros)
    return { type: 'float32', shape: q.shape, data: asExpectation(q.shape, data, Number(scales.data[0])) }
  }

  /** An input of a quantised layer: a real value, or a constant. */
  #operand(name: string, scale: string, zero: string | undefined, axis = -1): string {
    const real = this.#real.get(name)
    if (real !== undefined) return real
    const float = `${name}/float`
    if (!this.#initializers.has(float)) this.#initializers.set(float, this.#dequantized(name, scale, zero, axis))
    return float
  }

  /** A bias in whole numbers of input scale x weight scale. */
  #bias(name: string, inputScale: string, weightScale: string): string {
    const [q, a, b] = [this.#constant(name), this.#constant(inputScale), this.#constant(weightScale)]
    if (!isWhole(q) || !a || !b) throw new Unknown('a bias or its scale is no constant')
    const data = Float32Array.from(q.data as ArrayLike<number>, (value, i) => {
      return value * Number(a.data[0]) * Number(b.data[b.data.length > 1 ? i : 0])
    })
    const float = `${name}/float`
    this.#initializers.set(float, { type: 'float32', shape: q.shape, data })
    return float
  }

  /** The value, or its ReLU (ReLU6) where it may be below 0 and its quantised form cannot. */
  #ranged(value: string, scale: string, zero: string | undefined): string {
    const zeros = this.#constant(zero)
    const least = zeros?.type === 'int8' ? -128 : 0
    const maker = this.#makers.get(value)
    if (!maker || !linear.includes(maker.op) || Number(zeros?.data[0] ?? 0) !== least) return value
    const out = `${value}/relu`
    const reach = 255 * Number(this.#constant(scale)?.data[0])
    const bounded = Math.abs(reach - 6) < 0.06
    if (bounded)
      for (const [name, bound] of Object.entries({ low: 0, high: 6 }))
        this.#initializers.set(`${out}/${name}`, { type: 'float32', shape: [], data: Float32Array.of(bound) })
    const inputs = bounded ? [value, `${out}/low`, `${out}/high`] : [value]
    if (!this.#makers.has(out))
      this.#emit({ op: bounded ? 'Clip' : 'Relu', domain: '', name: out, inputs, outputs: [out], attributes: {} })
    return out
  }

  /** ConvInteger and MatMulInteger: in whole numbers of weights, whose scale comes in a Mul behind it. */
  integers(op: string, node: Node): void {
    const [x, w, , zero] = node.inputs as [string, string, string?, string?]
    const real = this.#real.get(x)
    const [q, zeros] = [this.#constant(w), this.#constant(zero)]
    if (real === undefined || !isWhole(q) || (zero && !zeros) || (zeros?.data.length ?? 1) > 1)
      throw new Unknown('its weights are no constants with one zero point')
    const out = node.outputs[0]!
    const data = scaled(q.data as ArrayLike<number>, q.data.length, undefined, zeros)
    this.#initializers.set(`${out}/weight`, { type: 'float32', shape: q.shape, data })
    this.layers++
    this.#whole.add(out)
    this.#emit({ ...node, op, inputs: [real, `${out}/weight`] })
  }

  /** What stands behind a layer in whole numbers and belongs to it: the cast, the scale, the bias. Also products of two scales. */
  #isFolded(node: Node): boolean {
    const [a, b] = node.inputs.map((name) => this.#at(name)) as [string, string?]
    const out = node.outputs[0]!
    if (node.op === 'Cast' && this.#whole.has(a) && node.attributes.to === 1) {
      this.#aliases.set(out, a)
      return true
    }
    if (b === undefined || (node.op !== 'Mul' && node.op !== 'Add')) return false
    const [first, second] = [this.#constant(a), this.#constant(b)]
    if (
      node.op === 'Mul' &&
      first &&
      second &&
      first.data.length === 1 &&
      first.type === 'float32' &&
      second.type === 'float32'
    ) {
      const factor = Number(first.data[0])
      this.#initializers.set(out, { ...second, data: Float32Array.from(second.data as Float32Array, (value) => value * factor) })
      return true
    }
    const [at, other] = this.#whole.has(a) ? [0, b] : [1, a]
    const layer = this.#makers.get(at === 0 ? a : b)
    // Whoever else reads the value wants it as it is.
    if (!layer || !this.#whole.has(layer.outputs[0]!) || this.#uses.get(node.inputs[at]!) !== 1) return false
    return node.op === 'Mul' ? this.#scaled(layer, other, out) : this.#biased(layer, other, out)
  }

  /** weight x scale in place of (x weight) scale. */
  #scaled(layer: Node, scale: string, out: string): boolean {
    const weight = this.#initializers.get(layer.inputs[1]!)!
    const scales = this.#constant(scale)
    const perOutput = layer.op === 'Conv' ? weight.shape[0]! : weight.shape.at(-1)!
    const fits = scales?.type === 'float32' && [1, perOutput].includes(scales.data.length)
    // Behind its bias, a factor would be one of the bias as well.
    if (!fits || layer.inputs.length > 2) return false
    const inner = layer.op === 'Conv' ? elementCount(weight.shape.slice(1)) : 1
    const data = scaled(weight.data as Float32Array, inner, scales)
    this.#initializers.set(layer.inputs[1]!, { ...weight, data: asExpectation(weight.shape, data, Number(scales.data[0])) })
    this.#aliases.set(out, layer.outputs[0]!)
    return true
  }

  /** A bias that was reshaped to [1, C, 1, 1] and added. */
  #biased(layer: Node, bias: string, out: string): boolean {
    const maker = this.#makers.get(bias)
    const tensor = this.#constant(maker?.op === 'Reshape' ? maker.inputs[0] : bias)
    const shape = maker?.op === 'Reshape' ? Array.from(this.#constant(maker.inputs[1])?.data ?? [], Number) : tensor?.shape
    const channels = this.#initializers.get(layer.inputs[1]!)!.shape[0]!
    const byChannel = [channels, -1].includes(shape?.at(-3) ?? 0) && tensor?.data.length === channels
    if (layer.op !== 'Conv' || layer.inputs.length > 2 || !byChannel) return false
    const flat = `${layer.outputs[0]!}/bias`
    this.#initializers.set(flat, { ...tensor, shape: [channels] })
    const at = this.#nodes.indexOf(layer)
    const whole = { ...layer, inputs: [...layer.inputs, flat] }
    this.#nodes[at] = whole
    this.#makers.set(layer.outputs[0]!, whole)
    this.#aliases.set(out, layer.outputs[0]!)
    return true
  }
}

/** Whether it is a constant of a type that is quantised to (int32 for biases). */
const isWhole = (tensor: TensorData | undefined): tensor is TensorData =>
  tensor !== undefined && ['int8', 'uint8', 'int32'].includes(tensor.type)

/**
 * scale (value - zero point), where there are several of either those of each `inner` values in turn. A plain loop: Float32Array.from with a
 * function takes more than ten times as long.
 */
function scaled(values: ArrayLike<number>, inner: number, scales?: TensorData, zeros?: TensorData): Float32Array {
  const floats = new Float32Array(values.length)
  const nth = (tensor: TensorData | undefined, turn: number) => tensor?.data[turn % tensor.data.length]
  for (let turn = 0, from = 0; from < floats.length; turn++, from += inner) {
    const [scale, zero] = [Number(nth(scales, turn) ?? 1), Number(nth(zeros, turn) ?? 0)]
    const to = Math.min(from + inner, floats.length)
    for (let i = from; i < to; i++) floats[i] = scale * (values[i]! - zero)
  }
  return floats
}

/** Fewer steps are no distribution. */
const leastBins = 4

/**
 * The filter [1, n, 1, 1] that takes the expectation of a distribution over 0 .. n - 1 (distribution focal loss): rounding it to 8 bits moves every
 * box, so what is within a step of those numbers is made them again.
 */
function asExpectation(shape: readonly number[], data: Float32Array, step: number): Float32Array {
  const isFilter = shape.length === 4 && shape[0] === 1 && shape[1]! >= leastBins && elementCount(shape) === shape[1]
  return isFilter && data.every((value, i) => Math.abs(value - i) <= step) ? data.map((_, i) => i) : data
}
