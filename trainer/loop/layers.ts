/**
 * Which parameters of a core are trained, and how fast: freezing by depth, and a slower rate for each stage further from the head
 * (discriminative fine-tuning, Howard and Ruder 2018).
 */
import { MuninnError } from '../../protocol/errors.ts'
import { GraphBuilder } from '../graph/builder.ts'
import type { Graph, Node } from '../onnx/graph.ts'

/** Inputs that hold a layer's own parameters. */
const owned: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [1, 2],
  MatMul: [0, 1],
  BatchNormalization: [1, 2],
  GroupNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  LayerNormalization: [1, 2],
  PRelu: [1],
  RMSNormalization: [1],
}
/** Ops that scale or shift what a layer gives: a vector of theirs is that layer's bias or scale. */
const attached = new Set(
  'Add BatchNormalization GroupNormalization InstanceNormalization LayerNormalization Mul PRelu RMSNormalization'.split(' '),
)

export interface Layer {
  readonly parameters: readonly string[]
  /** How often the picture had been halved when it ran, or before: the backbone's stages; all behind it belong to the last. */
  readonly stage: number
}

/** Layers that own parameters, in the order in which they run. */
export function layersOf(core: Graph): Layer[] {
  const shapes = GraphBuilder.from({ ...core, outputs: [] })
  const side = Number(core.inputs[0]!.shape[1])
  const layers: { parameters: string[]; stage: number }[] = []
  const layerOf = new Map<string, number>()
  const taken = new Set<string>()
  let stage = 0
  for (const node of core.nodes) {
    const { shape } = shapes.value(node.outputs[0]!)
    if (shape.length === 4 && shape[2]! > 0) stage = Math.max(stage, Math.round(Math.log2(side / shape[2]!)))
    const before = Math.max(-1, ...node.inputs.map((name) => layerOf.get(name) ?? -1))
    const parameters = parametersOf(core, node, before >= 0).filter((name) => !taken.has(name))
    let at = before
    if (parameters.length > 0) {
      for (const name of parameters) taken.add(name)
      if (attached.has(node.op) && before >= 0) layers[before]!.parameters.push(...parameters)
      else at = layers.push({ parameters, stage }) - 1
    }
    for (const name of node.outputs) layerOf.set(name, at)
  }
  return layers
}

function parametersOf({ initializers }: Graph, { op, domain, inputs }: Node, behindLayer: boolean): string[] {
  if (domain !== '') return []
  const isFloat = (name: string | undefined): name is string => name !== undefined && initializers.get(name)?.type === 'float32'
  const places = owned[op]
  if (places) return places.map((place) => inputs[place]).filter(isFloat)
  // A vector over channels that is added or multiplied behind a layer; whole maps and single numbers are no parameters.
  const isVector = (name: string) => initializers.get(name)!.shape.filter((size) => size > 1).length === 1
  return behindLayer && (op === 'Add' || op === 'Mul') ? inputs.filter(isFloat).filter(isVector) : []
}

/**
 * Parameters that are trained.
 * @param freeze below 1: this share of the layers, first to last; from 1 on: so many stages of the backbone
 * @throws MuninnError INVALID_INPUT when nothing would be left
 */
export function trainedParameters(layers: readonly Layer[], freeze = 0): string[] {
  const count = Math.floor(layers.length * freeze)
  const trained = layers.filter(({ stage }, i) => (freeze < 1 ? i >= count : stage > freeze))
  if (trained.length === 0)
    throw new MuninnError(
      'INVALID_INPUT',
      `with ${freeze} stages frozen nothing is left to train: the backbone has ${layers.at(-1)?.stage ?? 0}`,
    )
  return trained.flatMap(({ parameters }) => parameters)
}

/** Factor of the learning rate of each parameter: 1 in the last stage, times `decay` for each stage before it. */
export function stageRates(layers: readonly Layer[], decay = 1): Map<string, number> {
  const last = layers.at(-1)?.stage ?? 0
  return new Map(layers.flatMap(({ parameters, stage }) => parameters.map((name) => [name, decay ** (last - stage)] as const)))
}
