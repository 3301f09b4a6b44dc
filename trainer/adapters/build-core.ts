/** What all adapters end with: the picture's way in, the foreign nodes, and raw rows that can be trained or boxes that are only run. */
import type { Classifier, Specification } from '../detector/specification.ts'
import { pruned } from '../engine/step-graph.ts'
import { GraphBuilder, type Value } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { type AdapterOptions, type Adopted, misfit, type Normalization, preparation } from './adapter.ts'
import type { Foreign } from './foreign.ts'
import { disagreement, type OwnOutput } from './own-decoding.ts'
import { mapOf, type Part, partValue, rowsOf } from './rows.ts'

interface Ending {
  /** Name of the family, for people. */
  readonly family: string
  readonly foreign: Foreign
  readonly options: AdapterOptions
  readonly architecture: string
  /** How the family's authors prepare a picture. */
  readonly normalization: Normalization
  readonly resize: Specification['resize']
  readonly why: string
}

export interface TrainableEnding extends Ending {
  readonly head: Specification['head']
  /** Maps of each grid, fine to coarse: their channels side by side are the head's row. */
  readonly levels: readonly (readonly Part[])[]
  /** What the specification needs beside what is known here. */
  readonly fields: Pick<Specification, 'strides' | 'nms' | 'nmsIou'> &
    Partial<
      Pick<
        Specification,
        'cellOffset' | 'evenCells' | 'wholeSteps' | 'clampedCells' | 'anchors' | 'centreScales' | 'variances' | 'bins'
      >
    >
  /** Of each grid: the map that has a filter per class, and what lies beside the classes in each anchor's block of its channels; `shared`: the anchors have one block. */
  readonly classMaps: readonly { map: string; before: number; after: number; shared?: true }[]
  /** What of the file's outputs must follow from the rows, in each form in which the family is exported. */
  readonly own: readonly (readonly OwnOutput[])[]
}

/** @throws MuninnError BAD_MODEL saying where the file decodes otherwise */
export async function trainableCore(ending: TrainableEnding): Promise<Adopted> {
  const made = await trainableOrWhy(ending)
  if (typeof made === 'string') throw misfit(ending.family, made)
  return made
}

/** The core, or where the file decodes otherwise: then it can only be run. */
export async function trainableOrWhy(ending: TrainableEnding): Promise<Adopted | string> {
  const made = build(ending)
  let first: string | undefined
  for (const own of ending.own) {
    const words = await disagreement(ending.foreign, made.specification, ending.levels, own)
    if (words === undefined) return made
    first ??= words
  }
  return first ?? 'nothing of its outputs is known'
}

function build(ending: TrainableEnding): Adopted {
  const { foreign, head, levels, fields } = ending
  const perLevel = levels.map((_, level) => fields.anchors?.[level]?.length ?? 1)
  const known = ending.classMaps.map(({ map, before, after, shared }, level) => {
    return filtersOf(foreign, map)?.map((found) => ({ ...found, anchors: shared ? 1 : perLevel[level]!, before, after }))
  })
  const classifiers = known.every((each) => each !== undefined) ? known.flat() : []
  const { g, image } = begun(ending, classifiers)
  const rows = rowsOf(
    g,
    levels.map((parts) => parts.map((part) => partValue(g, part))),
    perLevel,
  )
  const seen = new Set<string>()
  return finished(
    ending,
    g,
    image,
    {
      head,
      rows: rows.name,
      ...fields,
      // Grids that share one convolution have one classifier.
      classifiers: classifiers
        .filter(({ weight }) => !seen.has(weight) && seen.add(weight))
        .map(({ weight, bias, anchors, before, after, depthwise }) => ({
          weight,
          bias,
          ...(depthwise && { depthwise }),
          ...(anchors > 1 && { anchors }),
          ...(before > 0 && { before }),
          ...(after > 0 && { after }),
        })),
    },
    levels.flat().map(mapOf),
  )
}

/** A model that is only run: `make` gives boxes [n, 4] x1 y1 x2 y2 in input pixels and scores [n, C]. */
export function fixedCore(
  ending: Ending & { nms: Specification['nms']; nmsIou: number; make: (g: GraphBuilder) => { boxes: Value; scores: Value } },
): Adopted {
  const { g, image } = begun(ending, [])
  const { boxes, scores } = ending.make(g)
  return finished(
    ending,
    g,
    image,
    {
      head: 'fixed',
      rows: boxes.name,
      scores: scores.name,
      strides: [],
      classifiers: [],
      nms: ending.nms,
      nmsIou: ending.nmsIou,
    },
    [],
  )
}

type Rest = Omit<Specification, 'v' | 'architecture' | 'classes' | 'resize' | 'feature'>

function finished(
  ending: Ending,
  g: GraphBuilder,
  image: { width: number; height: number },
  rest: Rest,
  maps: readonly string[],
): Adopted {
  const { options, architecture, resize, why } = ending
  const feature = coarsestFeature(g, maps)
  const specification: Specification = {
    v: 1,
    architecture,
    classes: [...options.classes],
    resize: options.resize ?? resize,
    feature,
    ...rest,
  }
  const outputs = [rest.rows, rest.scores, feature].filter((name) => name !== undefined).map((name) => g.value(name))
  const core = pruned({ ...g.graph, outputs: outputs.map(({ name, type, shape }) => ({ name, type, shape })) })
  return { core, specification, ...image, why }
}

/** A builder with the picture's way in and all foreign nodes. Convolutions that get a bias for their classes have it. */
function begun(
  { foreign, options, normalization }: Ending,
  classifiers: readonly { node: Node; bias: string; added: boolean }[],
) {
  const { input, graph } = foreign
  const { width, height } = input
  const g = new GraphBuilder(graph.name, 'adopted/')
  Object.assign(g.graph.opsets, graph.opsets)
  const image = g.input('image', 'uint8', [1, height, width, 3])
  preprocess(g, image, input, preparation(normalization, foreign, options))
  for (const [name, tensor] of graph.initializers) g.initializer(name, tensor)
  const patched = new Map<Node, Node>()
  for (const { node, bias, added } of classifiers) {
    if (!added) continue
    const channels = graph.initializers.get(node.inputs[1]!)!.shape[0]!
    if (!g.has(bias)) g.initializer(bias, { type: 'float32', shape: [channels], data: new Float32Array(channels) })
    patched.set(node, { ...node, inputs: [node.inputs[0]!, node.inputs[1]!, bias] })
  }
  for (const node of graph.nodes) g.append(patched.get(node) ?? node)
  return { g, image: { width, height } }
}

/** uint8 RGB [1, H, W, 3] to the foreign network's input, under that input's name. */
function preprocess(
  g: GraphBuilder,
  image: Value,
  { name, channelsLast }: { name: string; channelsLast: boolean },
  { channels, scale, mean, deviation }: Normalization,
): void {
  const ordered = channels === 'bgr' ? g.slice(image, [-1], [-5], [3], [-1]) : image
  const placed = channelsLast ? ordered : g.transpose(ordered, [0, 3, 1, 2])
  const shape = channelsLast ? [1, 1, 1, 3] : [1, 3, 1, 1]
  const shifted = mean.some((each) => each !== 0)
  const factors = deviation.map((each) => scale / each)
  const even = factors.every((each) => each === factors[0])
  const factor = even ? g.constant(factors[0]!) : g.constant(factors, shape)
  const scaled = factors.some((each) => each !== 1)
  const pixels = g.op('Cast', [placed], { attributes: { to: 1 }, ...(!shifted && !scaled && { name }) })
  if (!shifted && !scaled) return
  if (!shifted) {
    g.op('Mul', [pixels, factor], { name })
    return
  }
  const offset = g.constant(
    mean.map((each) => each / scale),
    shape,
  )
  g.op('Mul', [g.sub(pixels, offset), factor], { name })
}

interface Filters extends Pick<Classifier, 'weight' | 'bias'> {
  readonly node: Node
  /** Whether it lacks a bias yet. */
  readonly added: boolean
  readonly depthwise: boolean
}

/** The convolutions with a filter per class that a map comes from: one, or one and a depthwise one behind it. */
function filtersOf(foreign: Foreign, map: string): Filters[] | undefined {
  const last = lastFilters(foreign, map)
  if (!last) return undefined
  const { node, weight } = last
  const [channels, perGroup] = foreign.shape(weight) as [number, number]
  const group = Number(node.attributes.group ?? 1)
  if (perGroup > 1 && group === 1) return [last]
  if (perGroup !== 1 || group !== channels) return undefined
  const before = lastFilters(foreign, node.inputs[0]!)
  return before && foreign.shape(before.weight)[1]! > 1 ? [before, { ...last, depthwise: true }] : undefined
}

/** The convolution that a map comes from; its bias may be a node of its own, or be missing yet. */
function lastFilters(foreign: Foreign, map: string): Filters | undefined {
  const maker = foreign.maker(map)
  const constant = (name: string | undefined) => (name !== undefined && foreign.constant(name) ? name : undefined)
  if (maker?.op === 'Conv') {
    const [, weight, bias] = maker.inputs
    if (!constant(weight) || (bias && !constant(bias))) return undefined
    return { weight: weight!, bias: bias || `${map}/bias`, node: maker, added: !bias, depthwise: false }
  }
  if (maker?.op !== 'Add') return undefined
  const [a, b] = maker.inputs as [string, string]
  const bias = constant(a) ?? constant(b)
  const conv = foreign.maker(bias === a ? b : a)
  const channels = foreign.shape(map)[1]
  if (
    !bias ||
    conv?.op !== 'Conv' ||
    conv.inputs[2] ||
    !constant(conv.inputs[1]) ||
    foreign.constant(bias)!.data.length !== channels
  )
    return undefined
  return { weight: conv.inputs[1]!, bias, node: conv, added: false, depthwise: false }
}

/**
 * The feature map that the embedding is pooled from: the last of the coarsest with the most channels up to 512; before the maps of logits,
 * whose channels are classes and may change.
 */
function coarsestFeature(g: GraphBuilder, maps: readonly string[]): string {
  const logits = new Set(maps)
  let best: { name: string; pixels: number; channels: number; rich: boolean } | undefined
  for (const { op, inputs, outputs } of g.graph.nodes) {
    if (outputs.some((each) => logits.has(each)) || inputs.some((each) => logits.has(each))) {
      for (const each of outputs) logits.add(each)
      continue
    }
    const { name, shape } = g.value(outputs[0]!)
    const [batch, channels, height, width] = shape as [number, number, number, number]
    if (shape.length !== 4 || batch !== 1 || channels > 512 || height < 2 || width < 2 || op === 'Resize') continue
    const [pixels, rich] = [height * width, channels >= 32]
    // A map with few channels describes a frame poorly: it is taken where there is no other.
    const better =
      !best || (rich !== best.rich ? rich : pixels < best.pixels || (pixels === best.pixels && channels >= best.channels))
    if (better) best = { name, pixels, channels, rich }
  }
  if (!best) throw new Error('the network has no feature map to describe a frame by')
  return best.name
}
