/** Each op on TensorFlow.js against onnxruntime: the training step of every gradient case, forward and backward. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Executor } from '../../trainer/engine/devices/executor.ts'
import { OrtExecutor } from '../../trainer/engine/devices/ort-executor.ts'
import { TfjsExecutor } from '../../trainer/engine/devices/tfjs/tfjs-executor.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import { total } from '../../trainer/engine/step-graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { type Case, cases, stepOf } from '../support/gradient-cases.ts'

/** What TensorFlow.js is not taught here, and says so at the start of a training or at its first step. */
const untaught = new Set(['GroupNormalization', 'LpNormalization', 'MeanVarianceNormalization', 'RMSNormalization', 'Trilu'])
const isUntaught = ({ op, what }: Case) => untaught.has(op) || (/Pool$/.test(op) && what.includes('dilations'))

async function run<T>(executor: Executor<T>, model: Uint8Array, feeds: Feeds): Promise<Record<string, Float32Array>> {
  const program = await executor.compile(model, { kept: [] })
  const outputs = await program.run({ feeds, held: {} })
  const read: Record<string, Float32Array> = {}
  for (const [name, tensor] of Object.entries(outputs)) {
    read[name] = await executor.read(tensor)
    executor.free(tensor)
  }
  await program.close()
  return read
}

describe('TensorFlow.js', async () => {
  const tensorflow = await TfjsExecutor.load()
  const onnxruntime = new OrtExecutor({ provider: 'cpu', threads: 1 })
  for (const each of cases) {
    it(`runs ${each.op} (${each.what}) and its gradient as onnxruntime does`, async () => {
      const { step, start } = stepOf(each, 'std')
      const vector = (data: Float32Array) => ({ type: 'float32' as const, shape: [data.length], data })
      const feeds: Feeds = {
        parameters: vector(start),
        unused: vector(Float32Array.of(1)),
        statistics: vector(new Float32Array(total(step.statistics))),
      }
      const model = writeOnnx(step.graph)
      if (isUntaught(each)) {
        await assert.rejects(run(tensorflow, model, feeds), /TensorFlow\.js runs no|is not run here/)
        return
      }
      const before = tensorflow.tensors
      const [ours, theirs] = [await run(tensorflow, model, feeds), await run(onnxruntime, model, feeds)]
      assert.equal(tensorflow.tensors, before, 'a tensor was not freed')
      for (const [name, wanted] of Object.entries(theirs)) {
        const size = Math.max(Math.hypot(...wanted), 1)
        assert.equal(ours[name]!.length, wanted.length)
        const apart = Math.hypot(...wanted.map((value, i) => value - ours[name]![i]!))
        assert.ok(apart / size < 5e-5, `${name} is ${apart / size} apart`)
      }
    })
  }
})
