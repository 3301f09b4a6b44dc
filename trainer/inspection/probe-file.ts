/** Reads a file that nobody has vetted, loads it, runs it, tries what can be made of it, telling each step before it is taken. */
import { withExternalData } from '../onnx/external-data.ts'
import type { Graph } from '../onnx/graph.ts'
import { headerOf } from '../onnx/header.ts'
import { decodeModel, graphOf, maxModelBytes, readModelFile, readOnnx } from '../onnx/read.ts'
import { refuseUnsupported } from '../onnx/support.ts'
import type { PictureSize, ProbeMessage, Verdict } from './inspection.ts'

const isOpen = ({ inputs }: Graph) =>
  inputs.some(({ shape }) => shape.length === 4 && shape.slice(1).some((side) => typeof side === 'string'))

type Say = (message: ProbeMessage) => Promise<void>
const words = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * @param whole whether more is asked than that it runs
 * @param size of the picture, for a file that leaves it open
 * @throws MuninnError NOT_FOUND, TOO_LARGE, BAD_MODEL when it cannot even be read
 */
export async function probeFile(
  file: string,
  { whole, size }: { whole: boolean; size?: PictureSize | undefined },
  say: Say,
): Promise<void> {
  await say({ kind: 'doing', what: 'reading it' })
  const bytes = await readModelFile(file)
  const model = decodeModel(bytes)
  await say({ kind: 'header', header: headerOf(model) })
  const refused = (why: string): Verdict => ({
    can: false,
    why,
    ...(/with loops/.test(why) && {
      cure: 'export it again without its own suppression (--end2end, nms), which is what loops',
    }),
  })
  let complete: Uint8Array
  let graph: Graph
  try {
    complete = await withExternalData(file, bytes, maxModelBytes)
    graph = complete === bytes ? graphOf(model) : readOnnx(complete)
    await say({ kind: 'doing', what: 'inferring its shapes' })
    refuseUnsupported(graph)
    // What reads the file only is loaded only then: a file that is no model is told at once.
    const { refuseHuge, settledAt } = await import('./trial-run.ts')
    refuseHuge(settledAt(graph, size ?? { width: 416, height: 416 }))
  } catch (error) {
    // Not taken for a reason that the message names: then nothing else is tried.
    for (const kind of ['run', 'adopt', 'fineTune'] as const) await say({ kind, verdict: refused(words(error)) })
    return
  }
  await say({ kind: 'run', verdict: await runVerdict(complete, graph, size, say) })
  if (!whole) return
  await say({ kind: 'doing', what: 'trying the adapters' })
  const { adoptVerdict, deployedVerdicts, fineTuneVerdict, fitting } = await import('./verdicts.ts')
  if ('muninn' in graph.metadata) {
    const { adopt, fineTune } = deployedVerdicts(graph)
    await say({ kind: 'adopt', verdict: adopt })
    await say({ kind: 'fineTune', verdict: fineTune })
    return
  }
  const found = await fitting(graph)
  await say({ kind: 'adopt', verdict: adoptVerdict(found) })
  await say({ kind: 'doing', what: 'building a training step of it' })
  await say({ kind: 'fineTune', verdict: fineTuneVerdict(graph, found) })
}

async function runVerdict(bytes: Uint8Array, graph: Graph, size: PictureSize | undefined, say: Say): Promise<Verdict> {
  // Not awaited: what is under way must be known even if the next call never returns; the channel is in order.
  const doing = (what: string) => void say({ kind: 'doing', what })
  try {
    const { trialRun } = await import('./trial-run.ts')
    const { milliseconds, inputs, outputs } = await trialRun(bytes, graph, doing, size)
    return { can: true, why: `${inputs.join(', ')} gives ${outputs.join(', ')} in ${milliseconds.toFixed(1)} ms` }
  } catch (error) {
    return {
      can: false,
      why: `onnxruntime: ${words(error)}`,
      cure: /TRT/.test(words(error))
        ? "export it again without its own suppression (--end2end), which is TensorRT's alone"
        : `export it again for an opset up to 23 with standard ops, of a fixed size${isOpen(graph) ? '; or tell adopt the size it was made for (--size 320x240)' : ''}`,
    }
  }
}
