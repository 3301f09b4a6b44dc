/** Whether a graph can be adopted and fine-tuned: by doing it, not by guessing. */
import type { Adopted } from '../adapters/adapter.ts'
import { classesNamedIn } from '../adapters/class-names.ts'
import { Foreign } from '../adapters/foreign.ts'
import { listsInside } from '../adapters/lists-inside.ts'
import { otherTask } from '../adapters/other-task.ts'
import { ownName, settleOpen } from '../adapters/settle.ts'
import { depth, families, furtherFirst } from '../adapters/table.ts'
import { coreOf } from '../detector/core.ts'
import { targetOptionsOf } from '../detector/heads/table.ts'
import { losses, trainingGraph } from '../detector/loss.ts'
import { type Specification, specificationOf } from '../detector/specification.ts'
import { compileStep } from '../engine/step-graph.ts'
import { differentiable } from '../gradients/rules.ts'
import { layersOf, trainedParameters } from '../loop/layers.ts'
import { asFloat } from '../onnx/as-float.ts'
import { elementCount, type Graph, type Node } from '../onnx/graph.ts'
import { upgrade } from '../onnx/upgrade.ts'
import type { Verdict } from './inspection.ts'

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const mostClasses = 1000

/** Counts of classes that the sizes of the outputs allow: with 4 box numbers, objectness, a background class, 4 distributions of 8 or 11, 32 masks, three anchors that share the classes, nine that do not, or alone. */
function classCounts(foreign: Foreign): number[] {
  const sizes = foreign.graph.outputs.flatMap(({ name }) => foreign.shape(name))
  const ascending = (counts: readonly number[]) =>
    counts.filter((count) => Number.isInteger(count) && count > 0 && count <= mostClasses).sort((a, b) => a - b)
  const given = sizes.flatMap((size) => [
    ...[size - 5, size - 4, size - 32, size - 44, size - 1, size - 64, size - 15],
    ...[size, size / 3 - 5, size / 9],
  ])
  // Rows of which a file chooses the best inside tell it, where its outputs do not.
  const inside = foreign.widthsInside().flatMap((size) => [size - 5, size - 4, size - 36])
  const lists = listsInside(foreign)?.lists.map((name) => foreign.shape(name)[2]!) ?? []
  // Where a class is a number in a row, any count that is large enough will do.
  return [
    ...new Set([...ascending(given), ...ascending(lists.flatMap((size) => [size - 1, size])), ...ascending(inside), mostClasses]),
  ]
}

export interface Fit {
  readonly adapter: string
  readonly adopted: Adopted
}

export interface Tried {
  readonly fit?: Fit
  /** Without a fit: what each adapter misses, or that it is no detector. */
  readonly misfits: readonly string[]
  /** What it is instead of a detector. */
  readonly other?: string
  /** With its sizes settled and constants folded, where that could be done. */
  readonly settled?: Graph
  /** What was made of its numbers before, for people. */
  readonly note?: string
}

/** The first adapter that takes the graph (those that ask the most come first), at the first count of classes at which it does. */
export async function fitting(graph: Graph): Promise<Tried> {
  const { graph: float, note } = asFloat(graph)
  const noted = note ? { note } : {}
  let foreign: Foreign
  try {
    foreign = new Foreign(await settleOpen(upgrade(float)))
  } catch (error) {
    return { misfits: [words(error)], ...noted }
  }
  const named = classesNamedIn(graph)
  const counts = named ? [named.length] : classCounts(foreign)
  const other = otherTask(foreign)
  if (other?.sure) return { misfits: [], other: other.words, settled: foreign.graph, ...noted }
  const misfits: string[] = []
  for (const [name, adapter] of Object.entries(families)) {
    let reason = 'its outputs leave no room for classes'
    let deepest = 0
    for (const count of counts) {
      try {
        const adopted = await adapter(foreign, { classes: named ?? Array.from({ length: count }, (_, i) => `class ${i + 1}`) })
        return { fit: { adapter: name, adopted }, misfits: [], ...noted }
      } catch (error) {
        const own = words(error)
        if (depth(own) > deepest) [reason, deepest] = [own, depth(own)]
      }
    }
    misfits.push(`${name}: ${reason}`)
  }
  return { misfits, settled: foreign.graph, ...(other && { other: other.words }), ...noted }
}

/** Nodes between the parameters (float initialisers of more than one number) and the outputs that are not differentiated. */
function withoutRule({ nodes, initializers }: Graph): Node[] {
  const isParameter = (name: string) => {
    const tensor = initializers.get(name)
    return tensor?.type === 'float32' && elementCount(tensor.shape) > 1
  }
  const reached = new Set([...initializers.keys()].filter(isParameter))
  const found: Node[] = []
  for (const node of nodes) {
    if (!node.inputs.some((name) => reached.has(name))) continue
    if (!differentiable.includes(node.op)) found.push(node)
    else for (const name of node.outputs) reached.add(name)
  }
  return found
}

const noAdapter =
  'write an adapter, one small file as trainer/adapters/yolox.ts; or export the model without its own suppression, as its authors train it'

/** What helps where no adapter takes a file: of those that only lack its anchors, or its family's name, to tell them. */
function cureOf(misfits: readonly string[]): string {
  const asking = (option: string) =>
    misfits
      .filter((each) => each.includes(option))
      .map((each) => each.split(':')[0])
      .join(' or ')
  const [lacking, unclear] = [asking('--anchors'), asking('--adapter')]
  if (lacking) return `tell its anchors: muninn adopt --adapter ${lacking} --anchors ..., as above`
  return unclear ? `tell its family: muninn adopt --adapter ${unclear}, as above` : noAdapter
}

const detectorWanted = 'give a network that finds objects: one with boxes and scores among its outputs'

export function adoptVerdict({ fit, misfits, note, other }: Tried): Verdict {
  if (other) return { can: false, why: other, cure: detectorWanted }
  if (!fit)
    return {
      can: false,
      why: ['no adapter takes it', ...(note ? [note] : []), ...furtherFirst(misfits)].join('\n'),
      cure: cureOf(misfits),
    }
  const { specification, width, height, why } = fit.adopted
  const noted = note ? `; ${note}` : ''
  const classes = fit.adopted.anyClasses ? 'as many classes as are named' : `${specification.classes.length} classes`
  return { can: true, why: `${fit.adapter}: ${classes}, ${width} x ${height}; ${why}${noted}` }
}

/** Compiles the very step that training would run. @throws Error naming what has no rule */
function compileTraining(
  core: Graph,
  specification: Specification,
  { width, height, batch }: { width: number; height: number; batch: number },
): number {
  const { positives } = targetOptionsOf(specification, batch)
  const { parameters } = compileStep({
    graph: trainingGraph(core, specification, { batch, width, height, positives }),
    losses: [...losses],
    parameters: trainedParameters(layersOf(core)),
    dialect: 'std',
  })
  return parameters.reduce((sum, { size }) => sum + size, 0)
}

function trainingVerdict(
  name: string,
  core: Graph,
  specification: Specification,
  size: { width: number; height: number },
): Verdict {
  if (specification.head === 'fixed')
    return name === 'detr'
      ? {
          can: false,
          why: `${name} runs it as it is: there is no training loss for this family`,
          cure: 'write its head and loss in trainer/detector/heads, as heads/yolox.ts',
        }
      : {
          can: false,
          why: `${name} runs it as it is: its maps before decoding were not found, or are decoded otherwise than published`,
          cure: 'export it without its own decoding or suppression, as its authors train it',
        }
  try {
    return { can: true, why: `${name}: ${compileTraining(core, specification, { ...size, batch: 2 })} parameters get a gradient` }
  } catch (error) {
    // Some transformers have the batch of one in their shapes.
    try {
      const count = compileTraining(core, specification, { ...size, batch: 1 })
      return {
        can: true,
        why: `${name}: ${count} parameters get a gradient, one picture at a time: train it with --batch 1 (${words(error)})`,
      }
    } catch {
      // Told below.
    }
    return {
      can: false,
      why: `${name}: ${words(error)}`,
      cure: 'add the rule to trainer/gradients (trainer/OPS.md lists those there are)',
    }
  }
}

/** What was adopted is asked first; without that, the ops alone. */
export function fineTuneVerdict(graph: Graph, { fit, misfits, settled, other }: Tried): Verdict {
  if (fit) return trainingVerdict(fit.adapter, fit.adopted.core, fit.adopted.specification, fit.adopted)
  const lacking = withoutRule(settled ?? upgrade(graph))
  if (lacking.length === 0 && other) return { can: false, why: other, cure: detectorWanted }
  if (lacking.length === 0)
    return { can: false, why: 'every op has a gradient rule, but no adapter knows its loss', cure: cureOf(misfits) }
  const named = lacking.map(({ op, name, outputs }) => `${op} (node ${ownName(name || outputs[0]!)})`)
  return {
    can: false,
    why: `no adapter takes it, and there is no gradient rule for ${[...new Set(named)].slice(0, 5).join(', ')}`,
    cure: noAdapter,
  }
}

/** A file that `adopt` or training has written says all of this itself. */
export function deployedVerdicts(graph: Graph): { adopt: Verdict; fineTune: Verdict } {
  const specification = specificationOf(graph)
  const { architecture, classes } = specification
  const [, height, width] = graph.inputs[0]!.shape.map(Number)
  return {
    adopt: {
      can: true,
      why: `it is a deployed model already: ${architecture}, ${classes.length} classes (${classes.slice(0, 5).join(', ')}${classes.length > 5 ? ', ...' : ''})`,
    },
    fineTune: trainingVerdict(architecture, coreOf(graph, specification), specification, { width: width!, height: height! }),
  }
}
