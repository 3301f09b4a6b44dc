/**
 * A whole training step as one graph: forward, loss, gradients and the optimiser's update. On a device of its own the state is an output of
 * one run and an input of the next, and the gradient never leaves the run.
 */
import { GraphBuilder, type Value } from '../../graph/builder.ts'
import { floatTensor, type Graph, type TensorData } from '../../onnx/graph.ts'
import { type StepGraph, total } from '../step-graph.ts'
import type { TrainerState } from '../trainer-state.ts'
import { type UpdateRule, updateGraph } from '../update-graph.ts'

/** The vectors of a state that a step changes. */
export type StateVector = Exclude<keyof TrainerState, 'step'>

export interface FusedStep {
  /**
   * Inputs: those of the forward graph, one for each state vector, and scalars `rate`, `correction1`, `correction2`, `averageDecay` ([1]).
   * Outputs: the new state vectors, and `report`: the losses followed by the norm of the gradient.
   */
  readonly graph: Graph
  /** Name of each state vector as an input and as an output. */
  readonly state: Readonly<Partial<Record<StateVector, { readonly input: string; readonly output: string }>>>
  /** Name of each scalar of a step as an input. */
  readonly scalars: Readonly<Record<(typeof scalars)[number], string>>
  /** The output that is read after each step. */
  readonly report: string
}

const scalars = ['rate', 'correction1', 'correction2', 'averageDecay'] as const
const optimised = ['parameters', 'moment1', 'moment2', 'average'] as const
/** Before the update's own names: a foreign graph may use the same ones. */
const prefix = 'update/'

export interface FusedStepOptions {
  readonly step: StepGraph
  /** Factor of the learning rate, and weight decay, per parameter: constants of the graph, so that they travel once. */
  readonly rateScale: Float32Array
  readonly decay: Float32Array
  /** Greatest L2 norm of the gradient. */
  readonly clip: number
  /** Share of the batch's statistics that enters the running ones. */
  readonly statisticsMomentum: number
  /** AdamW when left out. */
  readonly rule?: UpdateRule
}

export function fuseStep({ step, rateScale, decay, clip, statisticsMomentum, rule }: FusedStepOptions): FusedStep {
  const g = GraphBuilder.from(step.graph)
  const given = new Map<string, Value>([
    ['parameters', g.value('parameters')],
    ['gradient', g.value('gradient')],
  ])
  const fixed: Readonly<Record<string, TensorData>> = {
    rateScale: floatTensor([rateScale.length], rateScale),
    decay: floatTensor([decay.length], decay),
    clip: floatTensor([1], [clip]),
  }
  const update = updateGraph(total(step.parameters), rule)
  const renamed = (name: string) => (name === '' ? '' : (given.get(name)?.name ?? prefix + name))
  for (const { name, type, shape } of update.inputs) {
    if (given.has(name)) continue
    const tensor = fixed[name]
    if (tensor) g.initializer(renamed(name), tensor)
    else g.input(renamed(name), type, shape.map(Number))
  }
  for (const [name, tensor] of update.initializers) g.initializer(renamed(name), tensor)
  for (const node of update.nodes)
    g.append({
      ...node,
      name: prefix + node.name,
      inputs: node.inputs.map(renamed),
      outputs: node.outputs.map(renamed),
    })

  const state: Partial<Record<StateVector, { input: string; output: string }>> = {}
  const keep = (name: StateVector, input: string, value: Value) => {
    const output = `${prefix}new/${name}`
    g.output(value, output)
    state[name] = { input, output }
  }
  for (const name of optimised) keep(name, renamed(name), g.value(renamed(`${name}Out`)))
  if (step.statistics.length > 0) {
    // The step graph itself has no use for the running statistics in the standard dialect.
    const running = g.has('statistics') ? g.value('statistics') : g.input('statistics', 'float32', [total(step.statistics)])
    const moved = g.scale(g.sub(g.value('batchStatistics'), running), statisticsMomentum)
    keep('statistics', 'statistics', g.add(running, moved))
  }
  const report = `${prefix}report`
  g.output(g.concat([g.value('losses'), g.value(renamed('norm'))], 0), report)
  const [rate, correction1, correction2, averageDecay] = scalars.map(renamed) as [string, string, string, string]
  return { graph: g.graph, state, scalars: { rate, correction1, correction2, averageDecay }, report }
}
