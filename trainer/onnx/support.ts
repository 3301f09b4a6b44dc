/** What may be given to onnxruntime at all: some element types end the whole process when a tensor of theirs comes out (onnxruntime-node 1.30, int4). */
import { MuninnError } from '../../protocol/errors.ts'
import type { Graph } from './graph.ts'
import { type Inferred, infer } from './infer.ts'

/**
 * Refuses a graph that takes, gives or makes on the way a value of a type that we do not know.
 * @throws MuninnError BAD_MODEL naming the value
 */
export function refuseUnsupported(graph: Graph): void {
  const refuse = (kind: string, name: string) => {
    throw new MuninnError(
      'BAD_MODEL',
      `ONNX: the ${kind} ${name} is of an element type that is not supported (known are float32, float64, float16, uint8, int8, int32, int64 and bool)`,
    )
  }
  for (const { name, type } of graph.inputs) if (type === 'other' || type === 'string') refuse('input', name)
  for (const { name, type } of graph.outputs) if (type === 'other' || type === 'string') refuse('output', name)
  const check = ({ values, branches }: Inferred) => {
    for (const [name, { type }] of values) if (type === 'other' || type === 'string') refuse('value', name)
    for (const branch of branches) check(branch)
  }
  check(infer(graph))
}
