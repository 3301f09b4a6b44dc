/** How the steps of a training are taken on a device: in how many parts, with which graph, by which runner. */
import { availableParallelism } from 'node:os'
import { MuninnError } from '../../protocol/errors.ts'
import { ahead, type Loader } from '../data/loader.ts'
import { headOf, targetOptionsOf } from '../detector/heads/table.ts'
import { losses, trainingGraph } from '../detector/loss.ts'
import type { Specification } from '../detector/specification.ts'
import { DeviceRunner } from '../engine/devices/device-runner.ts'
import type { Device } from '../engine/devices/executor.ts'
import { cpuDialect } from '../engine/dialect.ts'
import type { Runner } from '../engine/runner.ts'
import { compileStep, type StepGraph, type StepOptions } from '../engine/step-graph.ts'
import { StepRunner } from '../engine/step-runner.ts'
import type { TrainerState } from '../engine/trainer-state.ts'
import type { UpdateRule } from '../engine/update-graph.ts'
import type { Graph } from '../onnx/graph.ts'

/**
 * Pictures of one pass through a graph that joins them, as BatchNormalization in training does: its groups, so that the number of cores must
 * not change it. A smaller one wants less memory, a larger one is no quicker.
 */
const joinedPictures = 4

/**
 * How a batch is cut into passes of the same size. Where nothing joins the pictures they go one by one: what lies between the layers then
 * stays in the caches (YOLOX-nano takes an eighth less time than with four), and nothing need be made anew to save memory.
 */
export function microBatches(batch: number, joined: boolean): { parts: number; micro: number } {
  const parts = joined ? Math.ceil(batch / joinedPictures) : batch
  return { parts, micro: Math.ceil(batch / parts) }
}

export interface PlanOptions {
  readonly core: Graph
  readonly specification: Specification
  readonly width: number
  readonly height: number
  /** Pictures in one update. */
  readonly batch: number
  /** For boxes in a picture, `roomFor` its training's pictures. */
  readonly room?: number
  /** Some classes were not looked for in every picture. */
  readonly partial?: boolean
  readonly parameters: readonly string[]
  readonly workers?: number
  /** Cores that may be kept busy; all that are there when left out. */
  readonly threads?: number
  readonly rateScale: (name: string) => number
  readonly decay: (name: string, shape: readonly number[]) => number
  /** AdamW when left out. */
  readonly rule?: UpdateRule
}

export interface Plan {
  readonly device: Device
  /** Micro-batches in a step, and pictures in one. */
  readonly parts: number
  readonly micro: number
  /** Threads that make its batches. */
  readonly loaders: number
  readonly step: StepGraph
  readonly runner: (state: TrainerState) => Runner
}

/** Bytes of a session's forward pass from which on recomputing pays everywhere: a quarter of the process's memory for 5 % of its time. */
const muchKept = 256e6

/**
 * Whether sessions should make what is cheap anew: where they keep much, or all that they keep would take more than half of the memory
 * that is there (gradients and working space about double it). The numbers are the same, so that the choice changes no model.
 */
export function recomputes({
  keptBytes,
  sessions,
  available,
}: {
  keptBytes: number
  sessions: number
  available: number
}): boolean {
  return keptBytes > muchKept || 2 * keptBytes * sessions > available / 2
}

/**
 * Threads that make batches. On the processor as many as micro-batches, at most one a core: a single one would share its core with one of
 * the threads that compute, and all the others would wait for that one at the end of each step. A device of its own leaves the cores idle and
 * takes batches much more quickly than one thread makes them: there are as many as batches are made ahead.
 */
export function loaderThreads(device: Device, parts: number, cores: number): number {
  return device === 'cpu' ? Math.min(parts, cores) : Math.max(1, Math.min(parts * (ahead + 1), cores - 1))
}

/**
 * Sessions of a step, no more than it has parts, and threads of each: the cores that there are for every part. As they follow from the batch and
 * the cores alone, however many sessions there are, the same seed gives the same numbers on the same processor. Fewer cores (`--threads`) give
 * the same numbers too while there are fewer than two for every part; from there on the threads of a session change with them, and some sums round
 * otherwise.
 */
export function sessionsOf(parts: number, cores: number, workers = cores): { workers: number; sessionThreads: number } {
  return { workers: Math.min(workers, parts), sessionThreads: Math.max(1, Math.floor(cores / parts)) }
}

/** The processor's threads take parts of a batch, each on its own; a device of its own takes all of it at once. */
export async function planOn(device: Device, options: PlanOptions): Promise<Plan> {
  const { core, specification, width, height, batch, room, partial, parameters, rateScale, decay, rule } = options
  const cores = options.threads ?? availableParallelism()
  const { apart } = headOf(specification)
  const joined = !apart || core.nodes.some(({ op, inputs }) => op === 'BatchNormalization' && parameters.includes(inputs[1]!))
  const { parts, micro } = device === 'cpu' ? microBatches(batch, joined) : { parts: 1, micro: batch }
  const { positives } = targetOptionsOf(specification, micro, room)
  const source: StepOptions = {
    graph: trainingGraph(core, specification, { batch: micro, parts, width, height, positives, partial }),
    losses: [...losses],
    parameters,
    dialect: device === 'cpu' ? await cpuDialect() : 'std',
    filtersInBlocks: true,
    inPieces: device === 'cpu',
  }
  const sessions = sessionsOf(parts, cores, options.workers)
  const keeping = compileStep(source)
  const { keptBytes } = keeping
  const again = device === 'cpu' && recomputes({ keptBytes, sessions: sessions.workers, available: process.availableMemory() })
  const step = again ? compileStep({ ...source, recompute: true }) : keeping
  const runner = (state: TrainerState): Runner => {
    const common = { step, losses: [...losses], state, rateScale, decay, rule }
    return device === 'cpu' ? new StepRunner({ ...common, ...sessions }) : new DeviceRunner({ ...common, device, threads: cores })
  }
  return { device, parts, micro, loaders: loaderThreads(device, parts, cores), step, runner }
}

/**
 * Milliseconds of a picture: the quicker of two steps on real pictures after a first one, in which drivers compile their shaders.
 * @throws MuninnError UNAVAILABLE for a processor that poses as a graphics card: it takes minutes, and is never the quicker one
 */
export async function measure(
  plan: Plan,
  { state, loader: open }: { state: TrainerState; loader: () => Loader },
): Promise<{ milliseconds: number; words: string }> {
  const runner = plan.runner(state)
  try {
    await runner.start()
    const { description, software } = await runner.describe()
    if (software) throw new MuninnError('UNAVAILABLE', `${description}: no graphics card is behind it`)
    const loader = open()
    try {
      const batches = await loader.batches(0)
      const times: number[] = []
      for (let i = 0; i < 3; i++) {
        const begun = performance.now()
        await runner.run(batches, { rate: 1e-6, averageDecay: 0.9 })
        times.push(performance.now() - begun)
      }
      return { milliseconds: Math.min(...times.slice(1)) / (plan.parts * plan.micro), words: description }
    } finally {
      await loader.stop()
    }
  } finally {
    await runner.stop()
  }
}
