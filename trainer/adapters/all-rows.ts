/**
 * Where a file chooses rows and goes on to make boxes of these alone (torchvision decodes the best of each grid), the same made of all rows: then what
 * it makes is known before the run, and can be held against a head.
 */
import type { GraphBuilder } from '../graph/builder.ts'
import type { Node } from '../onnx/graph.ts'
import { intOf } from '../onnx/inference.ts'

/** Ops whose output's shape is known only in the run: they give as many rows as there are boxes to keep. */
export const dataDependent: readonly string[] = ['NonMaxSuppression', 'NonZero']

/**
 * Appends the nodes behind a choice as they would be if it were of all rows.
 * @param chosen values that hang on the choice
 * @returns values of which rows are chosen, in order
 */
export function appendAllRows(g: GraphBuilder, nodes: readonly Node[], chosen: ReadonlySet<string>): string[] {
  const all = new Map<string, string>()
  const sources: string[] = []
  const before = (name: string) => (name === '' || !chosen.has(name) ? name : all.get(name))
  for (const node of nodes) {
    if (dataDependent.includes(node.op) || !node.outputs.some((name) => chosen.has(name))) continue
    const inputs = node.inputs.map(before)
    const [data, ...others] = inputs
    const picks = picksRows(node) && data !== undefined && others.includes(undefined)
    if (picks) sources.push(data)
    // One number of each row gives as many numbers as there are rows, or classes times more: only whole rows stay pairs.
    const rows = picks && node.op === 'Gather' && g.has(data) && g.value(data).shape.length > 1
    if (!rows && inputs.includes(undefined)) continue
    const outputs = node.outputs.map((name) => (name === '' ? '' : `${name}/all`))
    try {
      g.appendFolded({
        ...node,
        ...(rows && { op: 'Identity', attributes: {} }),
        inputs: rows ? [data] : (inputs as string[]),
        outputs,
      })
      for (const [i, name] of node.outputs.entries()) all.set(name, outputs[i]!)
    } catch {
      // What cannot be made of all rows is left out, with what hangs on it.
    }
  }
  return sources
}

const picksRows = ({ op, domain, attributes }: Node): boolean =>
  domain === '' &&
  ((op === 'Gather' && intOf(attributes.axis, 0) === 0) || (op === 'GatherND' && intOf(attributes.batch_dims, 0) === 0))
