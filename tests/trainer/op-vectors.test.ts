/** Our reading, writing, lifting, shape inference and constant folding against the ONNX project's own node test vectors. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { MuninnError } from '../../protocol/errors.ts'
import type { Graph, TensorData } from '../../trainer/onnx/graph.ts'
import { infer } from '../../trainer/onnx/infer.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { refuseUnsupported } from '../../trainer/onnx/support.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { archive, type OpVector, readOpVectors, tensorsOf } from '../support/op-vectors.ts'
import { lacks } from '../support/shared-data.ts'

/** onnxruntime 1.30 itself gives other numbers than these vectors: rounding of two Resize modes, and random dropout. */
const differsInOnnxruntime = [
  'resize_downsample_scales_cubic_align_corners',
  'resize_downsample_scales_linear_align_corners',
  'training_dropout',
  'training_dropout_default',
  'training_dropout_default_mask',
  'training_dropout_mask',
]

/** Losses and optimisers that no detector has inside: they are run, their shape is not inferred. */
const withoutShape = ['SoftmaxCrossEntropyLoss', 'NegativeLogLikelihoodLoss', 'Momentum', 'Adagrad', 'Adam']

type Feeds = Record<string, ort.Tensor>
const counts = { refused: 0, run: 0, lifted: 0, shapes: 0, folded: 0 }

async function run(model: Uint8Array, feeds: Feeds): Promise<ort.InferenceSession.OnnxValueMapType> {
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 4, graphOptimizationLevel: 'disabled' })
  const outputs = await session.run(feeds)
  await session.release()
  return outputs
}

/** undefined where onnxruntime has no such kernel. */
async function tryToRun(model: Uint8Array, feeds: Feeds): Promise<ort.InferenceSession.OnnxValueMapType | undefined> {
  try {
    return await run(model, feeds)
  } catch {
    return undefined
  }
}

/** Halves as their bits, as files have them: from Node 24 on onnxruntime gives a Float16Array. */
function numbersOf({ type, data }: ort.OnnxValue & { readonly data: unknown }): ArrayLike<unknown> {
  if (type !== 'float16') return data as ArrayLike<unknown>
  const { buffer, byteOffset, byteLength } = data as Uint16Array
  return new Uint16Array(buffer, byteOffset, byteLength / 2)
}

function assertClose(got: ArrayLike<unknown>, wanted: ArrayLike<unknown>, what: string): void {
  assert.equal(got.length, wanted.length, `${what}: how many values`)
  for (let i = 0; i < wanted.length; i++) {
    const [a, b] = [Number(got[i]), Number(wanted[i])]
    const same = a === b || (Number.isNaN(a) && Number.isNaN(b)) || Math.abs(a - b) <= 1e-3 * Math.max(1, Math.abs(b))
    assert.ok(same, `${what}: value ${i} is ${a}, wanted ${b}`)
  }
}

/** The graph with the vector's inputs as initialisers, so that all of it is known. */
function withKnownInputs(graph: Graph, inputs: readonly TensorData[]): Graph {
  const given = graph.inputs.flatMap(({ name }, i) => (inputs[i] ? [[name, inputs[i]] as const] : []))
  return { ...graph, inputs: [], initializers: new Map([...graph.initializers, ...given]) }
}

function checkInference(name: string, graph: Graph, inputs: readonly TensorData[], outputs: readonly TensorData[]): void {
  const { values, known, faults } = infer(withKnownInputs(graph, inputs))
  for (const { node, reason } of faults) assert.ok(withoutShape.includes(node.op), `${name}: ${reason}`)
  for (const [i, output] of graph.outputs.entries()) {
    const [found, wanted, value] = [values.get(output.name), outputs[i], known.get(output.name)]
    if (!found || !wanted) continue
    assert.equal(found.type, wanted.type, `${name}: the type of ${output.name}`)
    assert.equal(found.shape.length, wanted.shape.length, `${name}: the rank of ${output.name}`)
    for (const [axis, size] of found.shape.entries())
      if (size !== -1) assert.equal(size, wanted.shape[axis], `${name}: axis ${axis} of ${output.name}`)
    counts.shapes++
    if (!value) continue
    assertClose(value.data, wanted.data, `${name}: ${output.name} worked out by us`)
    counts.folded++
  }
}

async function checkVector({ name, model, inputs: inputFiles, outputs: outputFiles }: OpVector): Promise<void> {
  let graph: Graph
  let inputs: TensorData[]
  let outputs: TensorData[]
  try {
    graph = readOnnx(model)
    refuseUnsupported(graph)
    inputs = tensorsOf(inputFiles)
    outputs = tensorsOf(outputFiles)
  } catch (error) {
    // Refused with a cause before anything of it runs: int4 would end this whole process.
    assert.ok(error instanceof MuninnError && error.code === 'BAD_MODEL', `${name}: ${String(error)}`)
    counts.refused++
    return
  }
  checkInference(name, graph, inputs, outputs)
  const feeds: Feeds = Object.fromEntries(
    graph.inputs.flatMap(({ name: input }, i) => {
      const tensor = inputs[i]
      if (!tensor || tensor.type === 'string' || tensor.type === 'other') return []
      return [[input, new ort.Tensor(tensor.type, tensor.data, tensor.shape)]]
    }),
  )
  const original = await tryToRun(model, feeds)
  if (!original) return
  const written = await run(writeOnnx(graph), feeds)
  counts.run++
  for (const [i, { name: output }] of graph.outputs.entries()) {
    if (differsInOnnxruntime.includes(name)) continue
    assertClose(numbersOf(written[output]!), outputs[i]!.data, `${name}: ${output} written by us`)
  }
  if (graph.opsets['']! >= 17) return
  const lifted = await run(writeOnnx(upgrade(graph)), feeds)
  counts.lifted++
  for (const [i, { name: output }] of graph.outputs.entries()) {
    if (differsInOnnxruntime.includes(name)) continue
    assertClose(numbersOf(lifted[output]!), outputs[i]!.data, `${name}: ${output} lifted to opset 17`)
  }
}

describe('the ONNX node test vectors', { skip: lacks(archive) }, () => {
  const vectors = lacks(archive) ? [] : readOpVectors()
  const families = new Map<string, OpVector[]>()
  for (const vector of vectors) {
    const family = vector.name.split('_')[0]!
    families.set(family, [...(families.get(family) ?? []), vector])
  }
  for (const [family, members] of families) {
    it(`${family}: ${members.length} read, inferred, written and run as they should`, async () => {
      for (const vector of members) await checkVector(vector)
    })
  }

  it('are all there and mostly run', () => {
    assert.equal(vectors.length, 705)
    assert.ok(counts.run >= 600, `${counts.run} were run`)
    assert.ok(counts.lifted >= 150, `${counts.lifted} were lifted`)
    assert.ok(counts.shapes >= 600, `${counts.shapes} shapes were compared`)
    assert.ok(counts.folded >= 150, `${counts.folded} values were worked out`)
    assert.ok(counts.refused <= 90, `${counts.refused} were refused`)
  })
})
