/** An executor over TensorFlow.js: interprets the step graph node by node and frees each tensor after its last use. */
import { MuninnError } from '../../../../protocol/errors.ts'
import { GraphBuilder } from '../../../graph/builder.ts'
import type { Graph, TensorData } from '../../../onnx/graph.ts'
import { readOnnx } from '../../../onnx/read.ts'
import type { Feed, Feeds } from '../../feeds.ts'
import type { Executor, Program } from '../executor.ts'
import { Call, type Op, type Tensor, type TF } from './call.ts'
import { elementwise } from './elementwise.ts'
import { movement } from './movement.ts'
import { loadTensorFlow } from './package.ts'
import { windows } from './windows.ts'

const ops: Readonly<Record<string, Op>> = { ...elementwise, ...movement, ...windows }

/** Ops that TensorFlow.js runs here, sorted. */
export const runOnTensorFlow: readonly string[] = Object.keys(ops).sort()

export class TfjsExecutor implements Executor<Tensor> {
  readonly #tf: TF
  readonly #name: string

  constructor({ tf, name }: { tf: TF; name: string }) {
    this.#tf = tf
    this.#name = name
  }

  static async load(): Promise<TfjsExecutor> {
    return new TfjsExecutor(await loadTensorFlow())
  }

  /** TensorFlow falls back to the processor without a word when it finds no card. */
  get description(): string {
    const backend: object = this.#tf.backend()
    const card = 'isUsingGpuDevice' in backend && backend.isUsingGpuDevice === true
    const where = card ? 'a CUDA card' : this.#tf.getBackend() === 'tensorflow' ? 'the processor' : 'plain JavaScript'
    return `tfjs (${this.#name}, backend ${this.#tf.getBackend()}, computes on ${where})`
  }

  readonly software = false

  /** Tensors that are alive: what a test of this holds still. */
  get tensors(): number {
    return this.#tf.memory().numTensors
  }

  async compile(model: Uint8Array): Promise<Program<Tensor>> {
    const graph = readOnnx(model)
    const g = GraphBuilder.from(graph)
    const missing = new Set(graph.nodes.filter(({ op }) => !Object.hasOwn(ops, op)).map(({ op }) => op))
    if (missing.size > 0)
      throw new MuninnError('UNAVAILABLE', `TensorFlow.js runs no ${[...missing].join(', ')} here; --device cpu does`)
    const program = new Interpretation({ tf: this.#tf, graph, g })
    return { run: async (inputs) => program.run(inputs), close: async () => program.close() }
  }

  async read(tensor: Tensor): Promise<Float32Array> {
    return Float32Array.from(await tensor.data())
  }

  free(tensor: Tensor): void {
    tensor.dispose()
  }

  async close(): Promise<void> {}
}

class Interpretation {
  readonly #tf: TF
  readonly #graph: Graph
  readonly #g: GraphBuilder
  /** Constants, made at their first use and kept for the runs to come. */
  readonly #constants = new Map<string, Tensor>()
  /** Values that nothing needs any more after a node. */
  readonly #last: readonly (readonly string[])[]

  constructor({ tf, graph, g }: { tf: TF; graph: Graph; g: GraphBuilder }) {
    this.#tf = tf
    this.#graph = graph
    this.#g = g
    this.#last = lastUses(graph)
  }

  run({ feeds, held }: { feeds: Feeds; held: Readonly<Record<string, Tensor>> }): Record<string, Tensor> {
    const tf = this.#tf
    const values = new Map<string, Tensor>()
    for (const { name } of this.#graph.inputs) {
      const feed = feeds[name]
      // A clone shares the memory: whoever holds the tensor frees it.
      if (held[name]) values.set(name, tf.clone(held[name]))
      else if (feed) values.set(name, tensorOf(tf, feed))
      else throw new Error(`the input ${name} of the step graph was not given`)
    }
    const find = (name: string) => values.get(name) ?? this.#constant(name)
    for (const [i, node] of this.#graph.nodes.entries()) {
      const made = tf.tidy(() => {
        const given = new Set(node.inputs.map((name) => values.get(name) ?? this.#constants.get(name)))
        const outputs = [ops[node.op]!(new Call({ tf, g: this.#g, node, find }))].flat()
        // An op with nothing to do gives its input back, which is freed at its own time.
        return outputs.map((each) => (given.has(each) ? tf.clone(each) : each))
      })
      for (const [output, name] of node.outputs.entries()) if (name !== '') values.set(name, made[output]!)
      for (const name of this.#last[i]!) {
        values.get(name)?.dispose()
        values.delete(name)
      }
    }
    return Object.fromEntries(this.#graph.outputs.map(({ name }) => [name, values.get(name)!]))
  }

  close(): void {
    for (const tensor of this.#constants.values()) tensor.dispose()
    this.#constants.clear()
  }

  #constant(name: string): Tensor {
    const known = this.#constants.get(name)
    if (known) return known
    const made = this.#tf.keep(tensorOf(this.#tf, this.#graph.initializers.get(name)!))
    this.#constants.set(name, made)
    return made
  }
}

function lastUses({ nodes, inputs, outputs }: Graph): string[][] {
  const kept = new Set(outputs.map(({ name }) => name))
  const last = new Map<string, number>()
  for (const { name } of inputs) last.set(name, 0)
  // An output that nobody uses is last needed by the node that made it.
  for (const [i, node] of nodes.entries()) for (const name of [...node.inputs, ...node.outputs]) last.set(name, i)
  const made = new Set([...inputs.map(({ name }) => name), ...nodes.flatMap((node) => node.outputs)])
  const freed: string[][] = nodes.map(() => [])
  for (const [name, i] of last) if (made.has(name) && !kept.has(name)) freed[i]!.push(name)
  return freed
}

function tensorOf(tf: TF, { type, shape, data }: Feed | TensorData): Tensor {
  const size = [...shape]
  if (type === 'float32') return tf.tensor(data as Float32Array, size, 'float32')
  const whole = Int32Array.from(data as ArrayLike<number | bigint>, Number)
  return type === 'bool' ? tf.tensor(Uint8Array.from(whole), size, 'bool') : tf.tensor(whole, size, 'int32')
}
